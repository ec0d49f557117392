// A test call: the microphone goes to the server by WebRTC, the agent's voice comes back, and what was said is shown.
const talk = document.getElementById("talk"), form = document.getElementById("talk-form");
const state = document.getElementById("talk-state"), line = document.getElementById("talk-line");
const mute = document.getElementById("mute"), finished = document.getElementById("talk-finished");
const iceServers = JSON.parse(talk.dataset.iceServers);
let call = null;

form.addEventListener("submit", (event) => { event.preventDefault(); if (!call) begin(); });
document.getElementById("hang-up").addEventListener("click", () => end(talk.dataset.over));
mute.addEventListener("click", () => {
  const track = call?.microphone?.getAudioTracks()[0];
  if (!track) return;
  track.enabled = !track.enabled;
  showMicrophone(track);
});
addEventListener("pagehide", () => call?.peer?.close());

async function begin() {
  const mine = call = {};
  form.querySelector("button").disabled = true;
  finished.hidden = true;
  document.getElementById("talk-turns").replaceChildren();
  if (!navigator.mediaDevices) return end(talk.dataset.insecure);
  state.textContent = talk.dataset.asking;
  try {
    mine.microphone = await navigator.mediaDevices.getUserMedia({ audio: { echoCancellation: true, noiseSuppression: true, channelCount: 1 } });
  } catch {
    return end(talk.dataset.denied);
  }
  state.textContent = talk.dataset.connecting;
  try {
    await connect(mine);
  } catch (trouble) {
    end(trouble instanceof Refused ? trouble.message : talk.dataset.lost);
  }
}

class Refused extends Error {}

async function connect(mine) {
  const peer = mine.peer = new RTCPeerConnection({ iceServers });
  const track = mine.microphone.getAudioTracks()[0];
  peer.addTrack(track, mine.microphone);
  peer.addEventListener("track", ({ track: voice }) => { document.getElementById("agent-voice").srcObject = new MediaStream([voice]); });
  peer.addEventListener("connectionstatechange", () => {
    if (call !== mine) return;
    if (peer.connectionState === "connected") state.textContent = talk.dataset.talking;
    if (peer.connectionState === "failed") end(talk.dataset.lost);
    if (peer.connectionState === "closed") end(talk.dataset.over);
  });
  // The server says on it that it has hung up.
  const channel = peer.createDataChannel("line");
  channel.addEventListener("close", () => { if (call === mine) end(talk.dataset.over); });
  channel.addEventListener("message", ({ data }) => { if (call === mine && JSON.parse(data).message?.type === "peerLeft") end(talk.dataset.over); });

  await peer.setLocalDescription(await peer.createOffer());
  await gathered(peer);
  const answer = await fetch("/talk/offer", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ ...Object.fromEntries(new FormData(form)), sdp: peer.localDescription.sdp }),
  });
  const known = answer.headers.get("Content-Type")?.startsWith("application/json") ? await answer.json() : {};
  if (call !== mine) return;
  if (!answer.ok) throw known.trouble ? new Refused(known.trouble) : new Error();
  mine.id = known.call;
  await peer.setRemoteDescription({ type: "answer", sdp: known.sdp });
  line.hidden = false;
  showMicrophone(track);
  listen(mine);
  watch(mine);
}

// All of this machine's addresses go with the offer; two seconds are enough for them, and five to ask servers for more.
function gathered(peer) {
  return new Promise((done) => {
    const look = () => { if (peer.iceGatheringState === "complete") done(); };
    peer.addEventListener("icegatheringstatechange", look);
    setTimeout(done, iceServers.length ? 5000 : 2000);
    look();
  });
}

function showMicrophone(track) {
  mute.setAttribute("aria-pressed", String(!track.enabled));
  document.getElementById("microphone").textContent = track.enabled ? talk.dataset.open : talk.dataset.shut;
}

// How loud the microphone is, so that somebody who is not heard sees why.
function listen(mine) {
  mine.sound = new AudioContext();
  const analyser = mine.sound.createAnalyser(), samples = new Float32Array(analyser.fftSize);
  mine.sound.createMediaStreamSource(mine.microphone).connect(analyser);
  mine.meter = setInterval(() => {
    analyser.getFloatTimeDomainData(samples);
    document.getElementById("level").value = Math.min(1, 4 * Math.sqrt(samples.reduce((sum, x) => sum + x * x, 0) / samples.length));
  }, 100);
}

// Events carry ids only: what was said is fetched from the call's own record.
function watch(mine) {
  mine.events = new EventSource(`/events?call=${mine.id}`);
  for (const kind of [`turn:${mine.id}`, "attempt", "ready", "stale"]) mine.events.addEventListener(kind, () => show(mine));
}

async function show(mine) {
  if (mine.showing) { mine.again = true; return; }
  mine.showing = true;
  do {
    mine.again = false;
    const answer = await fetch(`/calls/${mine.id}/live`, { headers: { "HX-Request": "true" } }).catch(() => null);
    if (!answer?.ok) continue;
    const turns = new DOMParser().parseFromString(await answer.text(), "text/html").querySelectorAll(".turns > li[id]");
    if (turns.length) document.getElementById("talk-turns").replaceChildren(...turns);
  } while (mine.again);
  mine.showing = false;
}

function end(words) {
  const over = call;
  call = null;
  state.textContent = words;
  line.hidden = true;
  form.querySelector("button").disabled = false;
  if (!over) return;
  clearInterval(over.meter);
  over.sound?.close();
  over.microphone?.getTracks().forEach((track) => track.stop());
  over.peer?.close();
  if (!over.id) return;
  finished.querySelector("a").href = `/calls/${over.id}`;
  finished.hidden = false;
  setTimeout(() => over.events?.close(), 5000); // the last sentence is stored a moment after the line is closed
  show(over);
}
