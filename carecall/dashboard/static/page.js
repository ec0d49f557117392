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
