"use strict";
/* The model in the page: the exported C as WebAssembly, fed from a microphone or a dropped file. No sound leaves the page.
 *
 * A task's script is one expression, (model, box) => ({ step(output, posteriors, index), end(heard) }), both optional:
 *   output, posteriors   views of the step's results: copy what is to be kept
 *   box.say(text)        what holds now; box.tell(text): one more line; box.play(name, pcm): a player
 *   heard                { pcm, outputs, posteriors, steps, samples }: everything since the last reset; samples without padding
 */
const edgernn = (() => {
  const TYPES = { int8: Int8Array, int16: Int16Array, int32: Int32Array, uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array };
  const PCM = 0, OUTPUT = 1, POSTERIORS = 4; /* of sim_offset */
  const MOST_SECONDS = 600, PAGE = 65536, FULL = 32768;
  const TAP = `registerProcessor("tap", class extends AudioWorkletProcessor {
    process(inputs) { if (inputs[0][0]) this.port.postMessage(inputs[0][0].slice()); return true; }
  });`;
  const kinds = {}, sessions = [];

  /** One stream; facts: what Python told of the graph. */
  class Model {
    static async load(facts) {
      const bytes = Uint8Array.from(atob(facts.wasm), (c) => c.charCodeAt(0));
      const { instance } = await WebAssembly.instantiate(bytes, {});
      return new Model(facts, instance.exports);
    }
    constructor(facts, c) {
      this.facts = facts;
      this.c = c;
      this.place = (c.__heap_base.value + 15) & ~15;
      const short = this.place + c.sim_bytes() - c.memory.buffer.byteLength;
      if (short > 0) c.memory.grow(Math.ceil(short / PAGE));
      const view = (what, type, count) => new type(c.memory.buffer, this.place + c.sim_offset(what), count);
      this.pcm = view(PCM, Int16Array, facts.step_samples);
      this.output = view(OUTPUT, TYPES[facts.output.dtype], facts.output.width);
      this.posteriors = view(POSTERIORS, Int16Array, facts.scores);
    }
    /** 0, or what the firmware's self-test says. */
    selfTest() { return this.c.sim_self_test(this.place); }
    reset() { this.c.sim_reset(this.place); }
    step() { this.c.sim_step(this.place); }
    seconds(index) { return (index + 1) * this.facts.step_samples / this.facts.sample_rate; }
  }

  /** A typed array that grows. */
  class Grown {
    constructor(type) { this.held = new type(1 << 14); this.length = 0; }
    push(values) {
      if (this.length + values.length > this.held.length) {
        const wider = new this.held.constructor(2 * (this.length + values.length));
        wider.set(this.held);
        this.held = wider;
      }
      this.held.set(values, this.length);
      this.length += values.length;
    }
    all() { return this.held.subarray(0, this.length); }
  }

  /** A model being fed, and everything that it heard and made of it. */
  class Heard {
    constructor(model, kind) {
      Object.assign(this, { model, kind, steps: 0, samples: 0, left: new Int16Array(0) });
      this.kept = { pcm: new Grown(Int16Array), outputs: new Grown(model.output.constructor), posteriors: new Grown(Int16Array) };
      model.reset();
    }
    take(pcm) {
      const { model, kept } = this, hop = model.pcm.length, all = new Int16Array(this.left.length + pcm.length);
      all.set(this.left);
      all.set(pcm, this.left.length);
      this.samples += pcm.length;
      let at = 0;
      for (; at + hop <= all.length; at += hop) {
        model.pcm.set(all.subarray(at, at + hop));
        kept.pcm.push(model.pcm);
        model.step();
        kept.outputs.push(model.output);
        kept.posteriors.push(model.posteriors);
        if (this.kind.step) this.kind.step(model.output, model.posteriors, this.steps);
        this.steps += 1;
      }
      this.left = all.slice(at);
    }
    /** The end of the sound: what gives sound is given silence until all of it has come out. */
    finish() {
      const samples = this.samples;
      if (this.model.facts.gives_sound) this.take(new Int16Array(2 * this.model.pcm.length - 1));
      this.samples = samples;
      this.result = { samples, steps: this.steps, pcm: this.kept.pcm.all(), outputs: this.kept.outputs.all(), posteriors: this.kept.posteriors.all() };
      if (this.kind.end) this.kind.end(this.result);
    }
  }

  /** clip(rint(32768 x)), ties to even, as every sound enters edgernn. */
  function toInt16(x) {
    const out = new Int16Array(x.length);
    for (let i = 0; i < x.length; i++) {
      const v = x[i] * FULL;
      let r = Math.round(v);
      if (r - v === 0.5 && r % 2) r -= 1;
      out[i] = Math.max(-FULL, Math.min(FULL - 1, r));
    }
    return out;
  }

  /** 16-bit PCM of a WAV file at `rate` as mono int16, bit by bit; null for anything else. */
  function exactWave(buffer, rate) {
    const v = new DataView(buffer), tag = (at) => String.fromCharCode(...new Uint8Array(buffer, at, 4));
    if (buffer.byteLength < 44 || tag(0) !== "RIFF" || tag(8) !== "WAVE") return null;
    let format = null;
    for (let at = 12; at + 8 <= buffer.byteLength; at += 8 + v.getUint32(at + 4, true) + v.getUint32(at + 4, true) % 2) {
      if (tag(at) === "fmt ") format = { kind: v.getUint16(at + 8, true), channels: v.getUint16(at + 10, true), rate: v.getUint32(at + 12, true), bits: v.getUint16(at + 22, true) };
      if (tag(at) === "data" && format) {
        if (format.kind !== 1 || format.bits !== 16 || format.rate !== rate || !format.channels) return null;
        const bytes = Math.min(v.getUint32(at + 4, true), buffer.byteLength - at - 8), n = Math.floor(bytes / 2 / format.channels);
        const mono = new Float32Array(n);
        for (let i = 0; i < n; i++) {
          let sum = 0;
          for (let c = 0; c < format.channels; c++) sum += v.getInt16(at + 8 + 2 * (i * format.channels + c), true);
          mono[i] = sum / format.channels / FULL;
        }
        return toInt16(mono);
      }
    }
    return null;
  }

  /** A sound file as mono int16 at `rate`; what is no exact WAV is decoded, and resampled, by the browser. */
  async function soundOf(buffer, rate) {
    const exact = exactWave(buffer, rate);
    if (exact) return exact;
    const found = await new OfflineAudioContext(1, 1, rate).decodeAudioData(buffer), mono = new Float32Array(found.length);
    for (let c = 0; c < found.numberOfChannels; c++) {
      const x = found.getChannelData(c);
      for (let i = 0; i < mono.length; i++) mono[i] += x[i] / found.numberOfChannels;
    }
    return toInt16(mono);
  }

  /** From one rate to another, block by block, by a windowed sinc; used where the browser does not do it. */
  class Resampler {
    constructor(from, to) {
      this.ratio = from / to;
      this.half = Math.ceil(24 * Math.max(1, this.ratio));
      this.held = new Float32Array(this.half);
      this.at = this.half; /* of the next sample, in `held` */
    }
    push(block) {
      const x = new Float32Array(this.held.length + block.length), cut = 0.95 * Math.min(1, 1 / this.ratio), out = [];
      x.set(this.held);
      x.set(block, this.held.length);
      for (; this.at + this.half < x.length; this.at += this.ratio) {
        const first = Math.ceil(this.at - this.half);
        let sum = 0;
        for (let i = Math.max(0, first); i <= this.at + this.half; i++) {
          const d = i - this.at, s = d === 0 ? cut : Math.sin(Math.PI * cut * d) / (Math.PI * d);
          sum += x[i] * s * (0.5 + 0.5 * Math.cos(Math.PI * d / this.half));
        }
        out.push(sum);
      }
      const drop = Math.max(0, Math.floor(this.at) - this.half);
      this.held = x.slice(drop);
      this.at -= drop;
      return Float32Array.from(out);
    }
  }

  /** The microphone at `rate`, as it is: give(Int16Array) until stop(). */
  async function microphone(rate, give) {
    if (!navigator.mediaDevices) throw new Error("this browser gives no microphone to such a page; drop a file");
    const raw = { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false };
    const stream = await navigator.mediaDevices.getUserMedia({ audio: raw });
    let context = new AudioContext({ sampleRate: rate }), source, resampler = null;
    try {
      source = context.createMediaStreamSource(stream);
    } catch { /* Firefox connects a microphone only at its own rate */
      await context.close();
      context = new AudioContext();
      resampler = new Resampler(context.sampleRate, rate);
      source = context.createMediaStreamSource(stream);
    }
    /* not a blob's URL: a page from disk may not load that here */
    await context.audioWorklet.addModule(`data:text/javascript,${encodeURIComponent(TAP)}`);
    const tap = new AudioWorkletNode(context, "tap", { numberOfOutputs: 0 });
    tap.port.onmessage = (event) => give(toInt16(resampler ? resampler.push(event.data) : event.data));
    source.connect(tap);
    await context.resume();
    return async () => {
      tap.port.onmessage = null;
      for (const track of stream.getTracks()) track.stop();
      await context.close();
    };
  }

  /** int16 as a WAV file to listen to. */
  function waveUrl(pcm, rate) {
    const v = new DataView(new ArrayBuffer(44 + 2 * pcm.length)), text = (at, s) => [...s].forEach((c, i) => v.setUint8(at + i, c.charCodeAt(0)));
    text(0, "RIFF"); v.setUint32(4, 36 + 2 * pcm.length, true); text(8, "WAVEfmt ");
    v.setUint32(16, 16, true); v.setUint16(20, 1, true); v.setUint16(22, 1, true); v.setUint32(24, rate, true);
    v.setUint32(28, 2 * rate, true); v.setUint16(32, 2, true); v.setUint16(34, 16, true); text(36, "data"); v.setUint32(40, 2 * pcm.length, true);
    for (let i = 0; i < pcm.length; i++) v.setInt16(44 + 2 * i, pcm[i], true);
    return URL.createObjectURL(new Blob([v], { type: "audio/wav" }));
  }

  /** Posteriors over time: lines where they are few, brightness where they are many. */
  function draw(canvas, heard, seconds) {
    const { facts } = heard.model, n = facts.scores, p = heard.kept.posteriors.all(), scale = window.devicePixelRatio || 1;
    const [w, h] = [Math.round(canvas.clientWidth * scale), Math.round(canvas.clientHeight * scale)];
    if (canvas.width !== w || canvas.height !== h) Object.assign(canvas, { width: w, height: h });
    const c = canvas.getContext("2d"), style = getComputedStyle(canvas), shown = Math.max(2, Math.min(heard.steps, Math.round(seconds * facts.sample_rate / facts.step_samples)));
    const first = heard.steps - shown, x = (i) => (i - first) / (shown - 1) * w, y = (v) => h - 3 * scale - v / FULL * (h - 6 * scale);
    c.clearRect(0, 0, w, h);
    if (n > 16) return bright(c, p, n, first, shown, w, h);
    c.lineWidth = scale;
    for (const mark of facts.marks) {
      c.strokeStyle = facts.marks.every((m) => m.value === mark.value) ? style.color : style.getPropertyValue(`--c${mark.score % 8}`);
      c.setLineDash([4 * scale, 4 * scale]);
      c.beginPath(); c.moveTo(0, y(mark.value)); c.lineTo(w, y(mark.value)); c.stroke();
    }
    c.setLineDash([]);
    c.lineWidth = 1.6 * scale;
    for (let k = n - 1; k >= 0; k--) {
      c.strokeStyle = style.getPropertyValue(`--c${k % 8}`);
      c.beginPath();
      for (let i = Math.max(0, first); i < heard.steps; i++) c.lineTo(x(i), y(p[i * n + k]));
      c.stroke();
    }
  }

  function bright(c, p, n, first, shown, w, h) {
    const image = new ImageData(Math.min(shown, w), n);
    for (let i = 0; i < image.width; i++) {
      const step = first + Math.floor(i * shown / image.width);
      for (let k = 0; k < n; k++) {
        const v = step < 0 ? 0 : p[step * n + k] / FULL;
        image.data.set([255 * Math.min(1, 2 * v), 255 * v, 90 + 90 * v, 255], 4 * ((n - 1 - k) * image.width + i));
      }
    }
    const whole = new OffscreenCanvas(image.width, n);
    whole.getContext("2d").putImageData(image, 0, 0);
    c.imageSmoothingEnabled = false;
    c.drawImage(whole, 0, 0, w, h);
  }

  const element = (name, properties = {}, ...children) => {
    const found = Object.assign(document.createElement(name), properties);
    found.append(...children);
    return found;
  };

  /** The controls of one model, in its place on the page. */
  class Session {
    constructor(place, facts) {
      this.facts = facts;
      this.place = place;
      this.answer = element("p", { textContent: "loading" });
      this.mic = element("button", { type: "button", textContent: "Microphone", disabled: true });
      this.input = element("input", { type: "file", accept: "audio/*,video/*", disabled: true });
      this.file = element("label", { className: "file" }, "Open a sound", this.input);
      this.state = element("span", { className: "about" });
      this.state.setAttribute("role", "status");
      this.now = element("div", { className: "now", hidden: true });
      this.canvas = element("canvas", { hidden: true });
      this.canvas.setAttribute("role", "img");
      this.told = element("ol", { className: "told", hidden: true });
      this.told.setAttribute("aria-live", "polite");
      this.players = element("div", { className: "buttons" });
      place.append(this.answer, element("div", { className: "buttons" }, this.mic, this.file, this.state), this.now, this.canvas, this.legend(), this.told, this.players);
    }
    legend() {
      const box = element("div", { className: "legend" });
      for (const [k, label] of this.facts.labels.entries()) {
        const spot = element("i");
        spot.style.background = `var(--c${k % 8})`;
        box.append(element("span", {}, spot, label));
      }
      return box;
    }
    async begin() {
      try {
        if (!this.facts.wasm) throw new Error("the model was not compiled for the browser; see what is missing above");
        this.model = await Model.load(this.facts);
        this.failed = this.model.selfTest();
      } catch (error) {
        return this.wrong(error);
      }
      const id = `graph ${this.facts.id.slice(0, 12)}, ${this.facts.sample_rate / 1000} kHz; drop a sound here, or listen.`;
      if (this.failed) return this.wrong(new Error(`the self-test failed with ${this.failed}; ${id}`));
      this.answer.textContent = `Self-test passed: the bits of the PC and of the firmware. ${id}`;
      this.place.dataset.selfTest = "0";
      this.mic.disabled = this.input.disabled = false;
      this.mic.onclick = () => (this.stop ? this.stop() : this.listen());
      this.input.onchange = () => this.input.files.length && this.open(this.input.files[0]);
      this.droppable();
    }
    droppable() {
      const over = (on) => (event) => { event.preventDefault(); this.place.classList.toggle("over", on); };
      this.place.addEventListener("dragover", over(true));
      this.place.addEventListener("dragleave", over(false));
      this.place.addEventListener("drop", (event) => {
        over(false)(event);
        if (event.dataTransfer.files.length && !this.busy) this.open(event.dataTransfer.files[0]);
      });
    }
    wrong(error) {
      this.place.dataset.selfTest = String(this.failed ?? "none");
      this.answer.className = "wrong";
      this.answer.textContent = error.message;
    }
    box() {
      return {
        say: (text) => { this.now.textContent = text; },
        tell: (text) => { this.told.append(element("li", { textContent: text })); this.told.scrollTop = this.told.scrollHeight; },
        play: (name, pcm) => {
          const audio = element("audio", { controls: true, src: waveUrl(pcm, this.facts.sample_rate) });
          audio.setAttribute("aria-label", name);
          this.players.append(element("figure", { className: "sound" }, audio, element("figcaption", { textContent: name })));
        },
      };
    }
    fresh() {
      for (const audio of this.players.querySelectorAll("audio")) URL.revokeObjectURL(audio.src);
      this.told.replaceChildren();
      this.players.replaceChildren();
      this.now.textContent = "";
      this.canvas.hidden = this.now.hidden = this.told.hidden = false;
      delete this.place.dataset.done;
      const kind = kinds[this.facts.task] ? kinds[this.facts.task](this.model, this.box()) : {};
      return (this.heard = new Heard(this.model, kind));
    }
    async open(file) {
      this.busy = this.mic.disabled = this.input.disabled = true;
      const heard = this.fresh();
      try {
        const pcm = await soundOf(await file.arrayBuffer(), this.facts.sample_rate), piece = Math.max(this.model.pcm.length, this.facts.sample_rate >> 1);
        for (let at = 0; at < pcm.length; at += piece) {
          heard.take(pcm.subarray(at, at + piece));
          draw(this.canvas, heard, 10);
          this.state.textContent = `${Math.min(pcm.length, at + piece) / this.facts.sample_rate} of ${(pcm.length / this.facts.sample_rate).toFixed(1)} s`;
          await new Promise((resume) => setTimeout(resume, 4));
        }
        this.ended(`${file.name}: ${(pcm.length / this.facts.sample_rate).toFixed(1)} s`, MOST_SECONDS);
      } catch (error) {
        this.state.textContent = `${file.name} is no sound that this browser reads (${error.message})`;
        this.place.dataset.done = "failed";
      }
      this.input.value = "";
      this.busy = this.mic.disabled = this.input.disabled = false;
    }
    async listen() {
      this.busy = this.mic.disabled = this.input.disabled = true;
      const heard = this.fresh();
      let close = () => {};
      this.stop = async () => {
        if (this.closing) return;
        this.closing = true;
        await close();
        this.ended(`heard ${(heard.samples / this.facts.sample_rate).toFixed(1)} s`, 30);
        this.stop = null;
        this.mic.textContent = "Microphone";
        this.busy = this.closing = this.input.disabled = false;
      };
      try {
        close = await microphone(this.facts.sample_rate, (pcm) => {
          heard.take(pcm);
          if (heard.samples > MOST_SECONDS * this.facts.sample_rate && this.stop) this.stop();
        });
        this.mic.textContent = "Stop";
        this.mic.disabled = false;
        this.state.textContent = "listening";
        const frame = () => { if (this.stop) { draw(this.canvas, heard, 10); requestAnimationFrame(frame); } };
        requestAnimationFrame(frame);
      } catch (error) {
        this.state.textContent = `no microphone: ${error.message}`;
        this.stop = null;
        this.busy = this.mic.disabled = this.input.disabled = false;
      }
    }
    ended(what, seconds) {
      this.heard.finish();
      draw(this.canvas, this.heard, seconds);
      this.canvas.setAttribute("aria-label", `${this.facts.posteriors} of ${what}; ${this.told.children.length} events`);
      this.state.textContent = `${what}, ${this.heard.steps} steps`;
      this.place.dataset.done = String(this.heard.steps);
    }
  }

  function begin() {
    const models = JSON.parse(document.getElementById("models").textContent);
    for (const place of document.querySelectorAll(".live")) {
      const session = new Session(place, models[Number(place.dataset.index)]);
      sessions.push(session);
      session.begin();
    }
  }
  return { kinds, sessions, begin, toInt16, exactWave, Resampler };
})();
