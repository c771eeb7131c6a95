"""The page of an animation: Plotly.js goes in at the first mark, the runs at the second."""

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>mixviz animation</title>
<style>
  :root { color-scheme: light dark; --ink: #31333f; --ground: #ffffff; }
  @media (prefers-color-scheme: dark) { :root { --ink: #fafafa; --ground: #0e1117; } }
  * { box-sizing: border-box; }
  body { margin: 0; height: 100vh; display: flex; flex-direction: column;
         font: 15px system-ui, sans-serif; color: var(--ink); background: var(--ground); }
  main { flex: 1; min-height: 0; display: grid; gap: 4px 12px; padding: 8px;
         grid-auto-rows: minmax(260px, 1fr); }
  main.several { grid-template-columns: 1fr 1fr; }
  section { min-width: 0; min-height: 0; display: flex; flex-direction: column; }
  h2 { font-size: 1em; margin: 0; overflow-wrap: anywhere; }
  p { margin: 0; opacity: 0.75; }
  .plot { flex: 1; min-height: 0; }
  footer { display: flex; gap: 12px; align-items: center; padding: 8px 12px; }
  footer input { flex: 1; min-width: 0; }
  output { min-width: 8em; text-align: right; font-variant-numeric: tabular-nums; }
  @media (max-width: 700px) { body { height: auto; } main.several { grid-template-columns: 1fr; } }
</style>
<script>@@</script>
</head>
<body>
<main></main>
<footer>
  <button type="button">Play</button>
  <input type="range" min="0" value="0" aria-label="Step">
  <output></output>
</footer>
<script type="application/json" id="runs">@@</script>
<script>
  const runs = JSON.parse(document.getElementById("runs").textContent);
  const steps = [...new Set(runs.flatMap(run => run.frames.map(frame => frame.step)))];
  steps.sort((a, b) => a - b);

  const main = document.querySelector("main");
  main.classList.toggle("several", runs.length > 1);
  for (const run of runs) {
    const section = main.appendChild(document.createElement("section"));
    section.appendChild(document.createElement("h2")).textContent = run.title;
    run.note = section.appendChild(document.createElement("p"));
    run.plot = section.appendChild(document.createElement("div"));
    run.plot.className = "plot";
  }

  function show(index) {
    slider.value = index;
    output.textContent = "step " + steps[index].toLocaleString();
    const ink = getComputedStyle(document.body).color;
    return Promise.all(runs.map(run => {
      const frame = run.frames.findLast(each => each.step <= steps[index]) ?? run.frames[0];
      if (run.shown === frame && run.ink === ink) return null;
      Object.assign(run, { shown: frame, ink: ink });
      run.note.textContent = frame.caption;
      const layout = { ...structuredClone(run.layout), font: { color: ink } };
      return Plotly.react(run.plot, frame.data, layout, {
        responsive: true, displaylogo: false, showSendToCloud: false, plotlyServerURL: "",
      });
    }));
  }

  const [button, slider, output] = ["button", "input", "output"]
    .map(name => document.querySelector("footer " + name));
  let playing = false;
  slider.max = steps.length - 1;
  slider.addEventListener("input", () => { stop(); show(+slider.value); });
  button.addEventListener("click", () => playing ? stop() : play());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => show(+slider.value));

  function stop() { playing = false; button.textContent = "Play"; }

  async function play() {
    playing = true;
    button.textContent = "Pause";
    let index = +slider.value < steps.length - 1 ? +slider.value : -1;
    while (playing && ++index < steps.length) {
      await Promise.all([show(index), new Promise(done => setTimeout(done, 125))]);
    }
    stop();
  }

  show(0);
</script>
</body>
</html>
"""
