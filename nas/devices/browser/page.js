// What a person sees. The measuring is in worker.js, so that drawing does not disturb it.

const page = [...crypto.getRandomValues(new Uint8Array(8))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
const worker = new Worker("worker.js", { type: "module", name: page });
const show = (id, text) => (document.getElementById(id).textContent = text);

worker.onmessage = ({ data }) => {
  if ("state" in data) {
    show("state", data.state);
    document.getElementById("state").className = data.problem ? "problem" : "";
    show("detail", "");
  }
  if ("device" in data) show("device", data.device);
  if ("done" in data) {
    document.getElementById("bar").value = data.done / data.total;
    show("detail", `${data.done} of ${data.total} slices of ${data.probes} models · ${remaining(data)}`);
  }
  worker.postMessage({ hidden: hiddenSeconds() });
};
worker.onerror = (event) => {
  show("state", `This browser cannot run the page: ${event.message || "it has no module workers"}.`);
};

function remaining({ done, total, seconds }) {
  const left = Math.round((seconds / done) * (total - done));
  return done ? `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")} left in this round` : "opening models";
}

// Background pages are slowed down, and screens that turn off stop them.

let hidden = 0;
let since = document.hidden ? performance.now() : null;
const hiddenSeconds = () => (hidden + (since === null ? 0 : performance.now() - since)) / 1000;

async function stayAwake() {
  try {
    await navigator.wakeLock?.request("screen");
  } catch {} // not allowed now, or on battery saving: the note asks the person
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    since ??= performance.now();
  } else if (since !== null) {
    hidden += performance.now() - since;
    since = null;
    stayAwake();
  }
  document.title = document.hidden ? "⚠ bring this page to the front" : "nas: measuring this browser";
  worker.postMessage({ hidden: hiddenSeconds() });
});
addEventListener("pagehide", () => fetch("bye", { method: "POST", headers: { Page: page }, keepalive: true }));
stayAwake();
