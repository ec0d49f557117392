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

// A form says whose page it stands on, also when the browser sends it once more after a sign-in.
document.addEventListener("submit", (event) => {
  const form = event.target, viewer = document.body.dataset.viewer;
  if (!viewer || event.defaultPrevented || form.method !== "post") return;
  const address = new URL(form.action);
  address.searchParams.set("page-of", viewer);
  form.action = address;
});

// A request that came too late for its session: sign in over the page, which keeps what was filled in. It is the page of one
// person, and every request says of whom: somebody else who signs in is led away from it.
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
    const answer = await fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)), headers: { "HX-Request": "true", "Page-Of": document.body.dataset.viewer } });
    const elsewhere = answer.headers.get("HX-Redirect");
    if (elsewhere) return location.assign(elsewhere);
    if (answer.status === 204) {
      notice.textContent = form.dataset.done;
      dialog.close();
      listen();
      refreshSoon(0);
      return;
    }
    dialog.innerHTML = await answer.text();
    dialog.querySelector("[autofocus]")?.focus();
  } catch {
    notice.textContent = form.dataset.lost;
  }
}

// A list is fetched anew after the last of all news, also when they come while it is being fetched, and again when that failed.
let refreshing = 0;

function refreshSoon(milliseconds) {
  refreshing ||= setTimeout(() => {
    refreshing = 0;
    const list = document.querySelector("[data-list]");
    if (list) htmx.trigger(list, "refresh");
  }, milliseconds);
}

for (const news of ["alert", "task", "attempt", "stale", "signed_out"]) document.addEventListener(news, () => refreshSoon(20));

// A stream of news that could not be opened is opened later; one that was open opens itself again.
function listen() {
  const stream = document.querySelector("[hx-sse\\:connect]");
  if (stream && !stream._htmx?.sse) htmx.ajax("GET", stream.getAttribute("hx-sse:connect"), { source: stream });
}

for (const failure of ["htmx:error", "htmx:response:error"])
  document.addEventListener(failure, (event) => {
    const source = event.detail.ctx?.sourceElement;
    if (source?.matches("[data-list]")) refreshSoon(2000);
    if (source?.hasAttribute("hx-sse:connect")) setTimeout(listen, 5000);
  });

// Who works by keyboard stays in their part of the page when what they were at is gone.
let part = null;
document.addEventListener("focusin", (event) => { part = event.target.closest("section[aria-labelledby]")?.getAttribute("aria-labelledby"); });
document.addEventListener("htmx:after:swap", () => { if (part && document.activeElement === document.body) document.getElementById(part)?.focus(); });
