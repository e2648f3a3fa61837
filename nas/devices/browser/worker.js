// Times models with onnxruntime-web, as nas/devices/worker.py does with ONNX Runtime: fetches a round, opens the models
// of a group, each in a session of its own, and times them in shuffled passes of slices.

const STEPS = 100; // a timing takes at least so many steps of the clock
const SETTLE_MS = 20; // a new session runs this long first: engines compile what is hot
const TRIES = 5; // of reaching the server
const page = self.name;
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const tell = (message) => self.postMessage(message);

class Refused extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

async function call(path, document) {
  const body = document && { method: "POST", body: JSON.stringify(document) };
  const answer = await fetch(path, { ...body, headers: { Page: page } });
  if (!answer.ok) throw new Refused(answer.status, await answer.text());
  return answer;
}

let hidden = 0; // seconds that the page was in the background
self.onmessage = ({ data }) => (hidden = data.hidden);

// Device

function clockStep() {
  // The smallest step of the clock in milliseconds.
  const end = performance.now() + 500;
  let [step, seen, last] = [Infinity, 0, performance.now()];
  while (seen < 50 && (last < end || seen === 0)) {
    const now = performance.now();
    if (now > last) {
      step = Math.min(step, now - last);
      last = now;
      seen += 1;
    }
  }
  return step;
}

async function adapter() {
  const found = await navigator.gpu?.requestAdapter();
  if (!found) throw new Error("this browser has no WebGPU adapter here; the provider wasm needs none");
  const { vendor, architecture, device, description } = found.info;
  return description || [vendor, architecture, device].filter(Boolean).join(" ") || "unnamed GPU";
}

async function describe(settings, threads, step, version) {
  const agent = navigator.userAgent;
  const data = navigator.userAgentData;
  const hints = ["architecture", "bitness", "model", "platformVersion", "fullVersionList"];
  const high = (await data?.getHighEntropyValues(hints).catch(() => null)) ?? {};
  const brands = high.fullVersionList?.filter(({ brand }) => !/not.?a.?brand/i.test(brand)) ?? [];
  const brand = brands.find(({ brand }) => brand !== "Chromium") ?? brands[0];
  const [, browser] = /(Firefox|Edg|Chrome|Safari)\//.exec(agent) ?? [, "browser"];
  const machine = /x86_64|aarch64|arm|Intel|iPhone|iPad/i.exec(agent)?.[0] ?? "unknown";
  const known = { x8664: "x86_64", x8632: "x86", arm64: "aarch64", arm32: "arm" };
  const processor = known[high.architecture + high.bitness] ?? machine;
  const place = high.model || (data ? `${data.platform} ${processor}` : /\(([^)]*)\)/.exec(agent)?.[1]) || "unknown";
  const gpu = settings.provider === "webgpu" ? `, ${await adapter()}` : "";
  return {
    model: `${place} in ${brand?.brand ?? browser}${gpu}`.slice(0, 200),
    architecture: processor,
    cores: navigator.hardwareConcurrency ?? 1,
    runtime: "ONNX Runtime Web",
    runtime_version: version,
    provider: settings.provider,
    threads,
    system: (brand ? `${data.platform} ${high.platformVersion} ${brand.brand} ${brand.version}` : agent).slice(0, 200),
    memory_mb: navigator.deviceMemory ? Math.round(navigator.deviceMemory * 1024) : null,
    clock_ns: Math.max(1, Math.round(step * 1e6)),
  };
}

// Round

function shuffler(seed) {
  let state = seed; // mulberry32
  const random = () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return (list) => {
    const shuffled = [...list];
    for (let last = shuffled.length - 1; last > 0; last -= 1) {
      const other = Math.floor(random() * (last + 1));
      [shuffled[last], shuffled[other]] = [shuffled[other], shuffled[last]];
    }
    return shuffled;
  };
}

const kept = new Map(); // what was fetched, by path: a probe's name is the hash of its content

async function bytes(path) {
  if (!kept.has(path)) kept.set(path, new Uint8Array(await (await call(path)).arrayBuffer()));
  return kept.get(path);
}

async function milliseconds(run, batch) {
  const start = performance.now();
  for (let n = 0; n < batch; n += 1) await run();
  return performance.now() - start;
}

async function open(ort, probe, job, weights, options, step) {
  const session = await ort.InferenceSession.create(await bytes(`${probe.name}.onnx`), options);
  try {
    const [first, count] = job.input;
    const values = new Float32Array(weights.buffer, 4 * first, count);
    const picture = Float32Array.from({ length: probe.shape.reduce((a, b) => a * b) }, (_, n) => values[n % count]);
    const feeds = { input: new ort.Tensor("float32", picture, probe.shape) };
    const [name] = session.outputNames;
    // The output is asked for on the CPU, so that a run of a GPU ends when its values are here.
    const run = async () => (await session.run(feeds))[name].getData();
    const output = await run();
    const checksum = output.reduce((sum, value) => sum + Math.abs(value), 0) / output.length;
    for (const end = performance.now() + SETTLE_MS; performance.now() < end; ) await run();
    let batch = 1;
    for (let took; (took = await milliseconds(run, batch)) < STEPS * step && batch < 1e6; ) {
      batch = Math.min(1e6, took > 10 * step ? Math.ceil((1.2 * batch * STEPS * step) / took) : 8 * batch);
    }
    const id = [...crypto.getRandomValues(new Uint8Array(8))].map((byte) => byte.toString(16).padStart(2, "0"));
    return { probe: probe.name, id: id.join(""), session, run, batch, checksum };
  } catch (problem) {
    await session.release();
    throw problem;
  }
}

async function measure(ort, settings, job, step) {
  const began = performance.now();
  const hiddenBefore = hidden;
  const weights = await bytes(job.weights);
  const provider = settings.provider;
  const options = { executionProviders: [provider], externalData: [{ path: "weights.bin", data: weights }] };
  const shuffle = shuffler(job.seed);
  const probes = job.groups.flat().length;
  const total = probes * job.passes;
  let [samples, done, told] = [[], 0, performance.now()];
  const post = async (document) => {
    await call("post", { round: job.round, ...document });
    told = performance.now();
    tell({ done, total, probes, seconds: (told - began) / 1000 });
  };
  tell({ state: "Measuring." });
  for (const [turn, group] of job.groups.entries()) {
    const sessions = [];
    try {
      for (const probe of shuffle(group)) {
        sessions.push(await open(ort, probe, job, weights, options, step));
        if (performance.now() - told > 1000) await post({ alive: true });
      }
      for (let slice = 0; slice < job.passes; slice += 1) {
        for (const { probe, id, run, batch, checksum } of shuffle(sessions)) {
          const at_s = (performance.now() - began) / 1000;
          await run(); // not counted: others have used the caches since
          const ns = [];
          for (let timed = 0; timed < job.runs; timed += batch) ns.push(((await milliseconds(run, batch)) * 1e6) / batch);
          samples.push({ probe, session: id, slice: turn * job.passes + slice, at_s, batch, ns, checksum });
          done += 1;
          if (performance.now() - told > 1000) await post({ samples: samples.splice(0) });
        }
      }
    } finally {
      for (const { session } of sessions) await session.release();
    }
  }
  await post({ samples });
  await post({ done: true, hidden_s: hidden - hiddenBefore });
}

// Life

async function start() {
  const settings = await (await call("settings")).json();
  try {
    tell({ state: "Loading the runtime …" });
    const ort = await import(`./ort.${settings.provider}.min.mjs`);
    const threads = self.crossOriginIsolated ? settings.threads : 1;
    ort.env.wasm.numThreads = threads;
    ort.env.logLevel = "error";
    const step = clockStep();
    const info = await describe(settings, threads, step, ort.env.versions.web ?? ort.env.versions.common);
    const clock = `clock of ${Number((step * 1000).toPrecision(3))} µs`;
    const off = threads < settings.threads ? "; threads are off: the page is not isolated" : "";
    tell({ device: `${info.model} · ${settings.provider}, ${threads} thread(s), ${clock}${off}` });
    return { settings, ort, step, info };
  } catch (problem) {
    await call("hello", { error: `${problem.message ?? problem}` }).catch(() => {});
    throw problem;
  }
}

async function serve({ settings, ort, step, info }) {
  for (;;) {
    await call("hello", info);
    tell({ state: "Waiting for the next round …" });
    for (;;) {
      const job = await (await call("job")).json();
      if (!job) continue;
      try {
        await measure(ort, settings, job, step);
        tell({ state: "Waiting for the next round …" });
      } catch (problem) {
        if (problem instanceof Refused) throw problem;
        await call("post", { round: job.round, error: `${problem.message ?? problem}` });
        tell({ state: `A round failed: ${problem.message ?? problem}`, problem: true });
      }
    }
  }
}

try {
  const device = await start();
  for (let failures = 0; failures < TRIES; ) {
    try {
      await serve(device);
    } catch (problem) {
      if (!(problem instanceof Refused)) failures += 1;
      else if (problem.status === 410) break;
      else failures = 0;
      tell({ state: `${problem.message}`, problem: true });
      await sleep(2000);
    }
  }
  tell({ state: "nas has ended or cannot be reached. This page can be closed." });
} catch (problem) {
  tell({ state: `This browser cannot measure: ${problem.message ?? problem}`, problem: true });
}
