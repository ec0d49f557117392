// What htmx does not do: nothing is thrown away without a word when the line or the session is lost.
document.addEventListener("htmx:error", () => { document.getElementById("notice").textContent = document.body.dataset.lost || ""; });

// The moment of a call's recording that a finding rests on is played where it stands, beside the transcript.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-seek]"), recording = document.getElementById("recording");
  if (!link || !recording) return;
  event.preventDefault();
  recording.currentTime = Number(link.dataset.seek);
  recording.play();
});

// A request that came too late for its session: sign in over the page, which keeps what was filled in.
document.addEventListener("htmx:before:response", (event) => {
  const response = event.detail.ctx.response;
  if (response.status !== 401) return;
  event.preventDefault();
  response.raw.text().then(askToSignIn);
});

function askToSignIn(form) {
  let dialog = document.getElementById("sign-in-dialog");
  if (dialog?.open) return;
  if (!dialog) {
    dialog = document.createElement("dialog");
    dialog.id = "sign-in-dialog";
    dialog.setAttribute("aria-labelledby", "sign-in-title");
    dialog.addEventListener("submit", signInHere);
    document.body.append(dialog);
  }
  dialog.innerHTML = form;
  dialog.showModal();
}

async function signInHere(event) {
  event.preventDefault();
  const dialog = event.currentTarget, form = event.target, notice = document.getElementById("notice");
  try {
    const answer = await fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)), headers: { "HX-Request": "true" } });
    if (answer.status === 204) {
      notice.textContent = form.dataset.done;
      dialog.close();
      return;
    }
    dialog.innerHTML = await answer.text();
    dialog.querySelector("[autofocus]")?.focus();
  } catch {
    notice.textContent = form.dataset.lost;
  }
}

// Who works by keyboard stays in their part of the page when what they were at is gone.
let part = null;
document.addEventListener("focusin", (event) => { part = event.target.closest("section[aria-labelledby]")?.getAttribute("aria-labelledby"); });
document.addEventListener("htmx:after:swap", () => { if (part && document.activeElement === document.body) document.getElementById(part)?.focus(); });
