// What htmx does not do: nothing is thrown away without a word when the line or the session is lost.
document.addEventListener("htmx:error", () => { document.getElementById("notice").textContent = document.body.dataset.lost || ""; });
