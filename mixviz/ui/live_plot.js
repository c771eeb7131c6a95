// Draws a Plotly figure into the component's element, updating it in place.
const plots = new WeakMap()
let library = null

function loadPlotly() {
  if (window.Plotly) return Promise.resolve(window.Plotly)
  library ??= new Promise((resolve, reject) => {
    const script = document.createElement("script")
    script.src = new URL("app/static/plotly.min.js", document.baseURI).href
    script.onload = () => resolve(window.Plotly)
    script.onerror = () => { library = null; reject(new Error("plotly.min.js")) }
    document.head.appendChild(script)
  })
  return library
}

// Fill in what depends on the theme, and leave everything the figure says itself.
function themed(layout, element) {
  const style = getComputedStyle(element)
  const read = (name, otherwise) => style.getPropertyValue(name).trim() || otherwise
  const text = read("--st-text-color", "#31333f")
  const grid = read("--st-border-color", "rgba(128,128,128,0.25)")
  const axis = (own) => ({
    gridcolor: grid, zerolinecolor: grid, linecolor: grid, ...own,
  })
  const result = {
    ...layout,
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: text, family: read("--st-font", "sans-serif"), size: 12, ...layout.font },
    hoverlabel: { bgcolor: read("--st-secondary-background-color", "#eee"), font: { color: text } },
  }
  for (const name of Object.keys(layout)) {
    if (/^[xy]axis\d*$/.test(name)) result[name] = axis(layout[name])
  }
  result.xaxis ??= axis({})
  result.yaxis ??= axis({})
  return result
}

// Plotly puts uids into CSS selectors, which throw when a figure is purged if there is a space or a
// parenthesis in one.
function selectable(trace) {
  return trace.uid ? { ...trace, uid: trace.uid.replace(/[^\w-]/g, "_") } : trace
}

const same = (a, b) => a && b && a.every((value, i) => Math.abs(value - b[i]) < 1e-9 + 1e-6 * Math.abs(value))

// The zoom of the user wins over ranges that the figure gives, until a double click.
function keepZoom(plot, layout) {
  for (const [name, range] of Object.entries(plot.zoom)) {
    if (layout[name]) layout[name] = { ...layout[name], range: [...range], autorange: false }
  }
  return layout
}

function watchZoom(plot) {
  plot.div.on("plotly_relayout", (change) => {
    if (plot.drawing) return
    for (const name of ["xaxis", "yaxis"]) {
      const range = plot.div.layout[name]?.range
      const given = plot.figure.layout[name]?.range
      if (change[`${name}.autorange`] || same(range, given)) delete plot.zoom[name]
      else if (range && (`${name}.range[0]` in change || `${name}.range` in change)) {
        plot.zoom[name] = [...range]
      }
    }
  })
  plot.div.on("plotly_doubleclick", () => { plot.zoom = {}; draw(plot) })
}

async function draw(plot) {
  plot.wanted = true
  if (plot.drawing) return
  plot.drawing = true
  try {
    const Plotly = await loadPlotly()
    while (plot.wanted && !plot.gone) {
      plot.wanted = false
      const { layout } = plot.figure
      const data = plot.figure.data.map(selectable)
      const config = { displaylogo: false, responsive: true, doubleClick: false,
        plotGlPixelRatio: window.devicePixelRatio,
        modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] }
      const laidOut = keepZoom(plot, themed({ ...layout, height: plot.height }, plot.div))
      await Plotly.react(plot.div, data, laidOut, config)
      if (!plot.watched) {
        plot.watched = true
        watchZoom(plot)
        plot.resizer = new ResizeObserver(() => {
          if (!plot.gone && plot.div.offsetParent) Plotly.Plots.resize(plot.div)
        })
        plot.resizer.observe(plot.div)
      }
      plot.div.dataset.frames = Number(plot.div.dataset.frames ?? 0) + 1
      if (layout.meta?.step !== undefined) plot.div.dataset.step = layout.meta.step
    }
  } catch (error) {
    plot.div.textContent = `The picture cannot be drawn (${error.message}); reload the page.`
    plot.div.className = "live-plot-error"
  } finally {
    plot.drawing = false
  }
}

export default function ({ data, parentElement }) {
  let plot = plots.get(parentElement)
  if (!plot) {
    const div = document.createElement("div")
    div.className = "live-plot"
    div.setAttribute("role", "img")
    parentElement.appendChild(div)
    plot = { div, zoom: {} }
    plots.set(parentElement, plot)
  }
  plot.figure = data.figure
  plot.height = data.height
  plot.div.style.height = `${data.height}px`
  plot.div.setAttribute("aria-label", data.label)
  draw(plot)
  return () => {
    plot.gone = true
    plot.resizer?.disconnect()
    window.Plotly?.purge(plot.div)
    plot.div.remove()
    plots.delete(parentElement)
  }
}
