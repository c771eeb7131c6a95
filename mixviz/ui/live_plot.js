// Draws a Plotly figure into the component's element, updating it in place. A figure that can be picked
// from also says what is pointed at, clicked on and drawn around.
const plots = new WeakMap()
let library = null

function loadPlotly(address) {
  if (window.Plotly) return Promise.resolve(window.Plotly)
  library ??= new Promise((resolve, reject) => {
    const script = document.createElement("script")
    script.src = new URL(address, document.baseURI).href
    script.onload = () => resolve(window.Plotly)
    script.onerror = () => { library = null; reject(new Error("plotly.min.js")) }
    document.head.appendChild(script)
  })
  return library
}

// ---- the first picture ----------------------------------------------------------------------------

const MANY = 5000 // points from which Plotly's first picture is waited for
const MARGIN = { left: 45, right: 8, bottom: 43 } // as Plotly's come out

function unpacked({ bdata, dtype }) {
  const bytes = Uint8Array.from(atob(bdata), (c) => c.charCodeAt(0))
  return dtype === "f4" ? new Float32Array(bytes.buffer) : new Float64Array(bytes.buffer)
}

// Draw the points alone while Plotly is still to be loaded, about where it will draw them.
function sketch(plot) {
  const { data, layout } = plot.figure
  const clouds = data.filter((t) => t.type === "scattergl" && t.mode === "markers" && t.customdata && t.x?.bdata)
  const count = clouds.reduce((sum, t) => sum + t.x.bdata.length / 6, 0)
  if (plot.div.dataset.sketched || count < MANY || !layout.xaxis?.range || !layout.yaxis?.range) return
  const canvas = document.createElement("canvas")
  canvas.width = plot.div.clientWidth
  canvas.height = plot.height
  const width = canvas.width - MARGIN.left - MARGIN.right
  const names = data.filter((t) => t.showlegend).map((t) => t.name.length)
  const across = Math.max(1, Math.floor(width / (46 + 7 * Math.max(...names, 1)))) // of the legend
  const top = 13 + 16 * Math.ceil(names.length / across)
  const height = canvas.height - top - MARGIN.bottom
  const [left, right] = layout.xaxis.range, [low, high] = layout.yaxis.range
  const scale = Math.min(width / (right - left), height / (high - low))
  const x0 = MARGIN.left + width / 2 - (scale * (left + right)) / 2
  const y0 = top + height / 2 + (scale * (low + high)) / 2
  const pen = canvas.getContext("2d")
  for (const trace of clouds) {
    const x = unpacked(trace.x), y = unpacked(trace.y), size = 0.75 * trace.marker.size
    pen.fillStyle = trace.marker.color
    pen.globalAlpha = trace.marker.opacity
    for (let i = 0; i < x.length; i++) {
      pen.fillRect(x0 + scale * x[i] - size / 2, y0 - scale * y[i] - size / 2, size, size)
    }
  }
  canvas.style.cssText = "position: absolute; left: 0; top: 0; pointer-events: none"
  plot.div.style.position = "relative"
  plot.div.appendChild(canvas)
  plot.div.dataset.sketched = count
  return new Promise((painted) => requestAnimationFrame(() => setTimeout(painted)))
}

// Fill in what depends on the theme, and leave everything the figure says itself.
function themed(layout, element) {
  const style = getComputedStyle(element)
  const read = (name, otherwise) => style.getPropertyValue(name).trim() || otherwise
  const text = read("--st-text-color", "#31333f")
  const grid = read("--st-border-color", "rgba(128,128,128,0.25)")
  // Plotly writes a zoom into the range that it was given: the figure keeps its own.
  const axis = (own) => ({
    gridcolor: grid, zerolinecolor: grid, linecolor: grid, ...own, ...(own.range && { range: [...own.range] }),
  })
  const result = {
    ...layout,
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: text, family: read("--st-font", "sans-serif"), size: 12, ...layout.font },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: "rgba(128,128,128,0.9)", activecolor: text, ...layout.modebar },
    hoverlabel: { bgcolor: read("--st-secondary-background-color", "#eee"), font: { color: text } },
  }
  for (const name of Object.keys(layout)) {
    if (/^[xy]axis\d*$/.test(name)) result[name] = axis(layout[name])
  }
  if (layout.scene) return result
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

// The zoom of the user wins over ranges that the figure gives, until a double click, after which Plotly
// forgets it too.
function keepZoom(plot, layout) {
  for (const name of Object.keys(layout)) {
    if (/^[xy]axis\d*$/.test(name)) layout[name].uirevision = `${layout.uirevision}.${plot.undone ?? 0}`
  }
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
    if (plot.pick) tellView(plot)
  })
  plot.div.on("plotly_doubleclick", () => {
    plot.zoom = {}
    plot.undone = (plot.undone ?? 0) + 1
    draw(plot)
  })
}

// ---- picking --------------------------------------------------------------------------------------

const REACH = 12 // pixels around the pointer in which a point is found
const LOOKED_AT = 4000 // points, at most, for one move of the pointer
const CORNERS = 80 // of an outline that is told

// The points by cells of a grid, so that the nearest is found at once wherever they pile up.
function gridOf(plot) {
  const traces = plot.div._fullData.filter((trace) =>
    trace.visible === true && trace.customdata?.length && trace.type === "scattergl")
  const count = traces.reduce((sum, trace) => sum + trace.customdata.length, 0)
  const x = new Float32Array(count), y = new Float32Array(count), rows = new Int32Array(count)
  let at = 0
  for (const trace of traces) {
    x.set(trace.x, at); y.set(trace.y, at); rows.set(trace.customdata, at)
    at += trace.customdata.length
  }
  const ends = (values) => values.reduce(([a, b], v) => [v < a ? v : a, v > b ? v : b], [Infinity, -Infinity])
  const [left, right] = ends(x), [bottom, top] = ends(y)
  const side = Math.max(1, Math.min(512, Math.round(Math.sqrt(count / 3))))
  const cell = (value, low, high) =>
    Math.max(0, Math.min(side - 1, Math.floor(((value - low) / (high - low || 1)) * side)))
  const home = new Int32Array(count), starts = new Int32Array(side * side + 1)
  for (let i = 0; i < count; i++) {
    home[i] = cell(y[i], bottom, top) * side + cell(x[i], left, right)
    starts[home[i] + 1]++
  }
  for (let c = 0; c < side * side; c++) starts[c + 1] += starts[c]
  const order = new Int32Array(count), next = starts.slice(0, -1)
  for (let i = 0; i < count; i++) order[next[home[i]]++] = i
  return { x, y, rows, order, starts, side, column: (v) => cell(v, left, right), line: (v) => cell(v, bottom, top) }
}

// The point nearest to the pointer: its row, or null.
function pointed(plot, event) {
  const { xaxis, yaxis } = plot.div._fullLayout
  const box = plot.div.getBoundingClientRect()
  const px = event.clientX - box.left - xaxis._offset, py = event.clientY - box.top - yaxis._offset
  if (px < 0 || py < 0 || px > xaxis._length || py > yaxis._length) return null
  const grid = (plot.grid ??= gridOf(plot))
  const columns = [grid.column(xaxis.p2d(px - REACH)), grid.column(xaxis.p2d(px + REACH))]
  const lines = [grid.line(yaxis.p2d(py + REACH)), grid.line(yaxis.p2d(py - REACH))]
  let found = null, nearest = REACH * REACH, looked = 0
  for (let line = lines[0]; line <= lines[1]; line++) {
    for (let column = columns[0]; column <= columns[1]; column++) {
      const c = line * grid.side + column
      for (let n = grid.starts[c]; n < grid.starts[c + 1]; n++) {
        if (++looked > LOOKED_AT) return found
        const i = grid.order[n]
        const distance = (xaxis.d2p(grid.x[i]) - px) ** 2 + (yaxis.d2p(grid.y[i]) - py) ** 2
        if (distance < nearest) { nearest = distance; found = grid.rows[i] }
      }
    }
  }
  return found
}

function point(plot, row, event) {
  if (row === plot.row && row === null) return
  plot.row = row
  plot.div.dataset.row = row ?? ""
  document.dispatchEvent(new CustomEvent("mixviz-point", {
    detail: { row, x: event?.clientX ?? 0, y: event?.clientY ?? 0 },
  }))
}

// Views come with every redrawing; the same one is told once.
function tell(plot, name, value) {
  const text = JSON.stringify(value)
  if (name === "view" && plot.told === text) return
  if (name === "view") plot.told = text
  plot.setTriggerValue(name, { value })
}

const short = (value) => Number(value.toPrecision(6))

// What was drawn around, as corners in the units of the axes.
function corners(shape) {
  if (shape.type === "rect") {
    const { x0, x1, y0, y1 } = shape
    return [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]
  }
  const all = shape.path.replace(/[MZ]/g, "").split("L").map((pair) => pair.split(",").map(Number))
  const stride = Math.max(1, Math.ceil(all.length / CORNERS))
  return all.filter((_, i) => i % stride === 0)
}

function inside(outline, x, y) {
  let found = false
  for (let i = 0, j = outline.length - 1; i < outline.length; j = i++) {
    const [a, b] = outline[i], [c, d] = outline[j]
    if ((b > y) !== (d > y) && x < ((c - a) * (y - b)) / (d - b) + a) found = !found
  }
  return found
}

// Grey what lies outside, at once; Plotly's own lasso looks at all points at every move of the pointer.
function grey(plot, outline, shapes) {
  const traces = [], chosen = []
  plot.div._fullData.forEach((trace, number) => {
    if (!trace.customdata?.length || trace.type !== "scattergl") return
    traces.push(number)
    if (!outline) { chosen.push(null); return }
    const rows = []
    for (let i = 0; i < trace.x.length; i++) if (inside(outline, trace.x[i], trace.y[i])) rows.push(i)
    chosen.push(rows)
  })
  return traces.length
    ? window.Plotly.update(plot.div, { selectedpoints: chosen }, { shapes }, traces)
    : window.Plotly.relayout(plot.div, { shapes })
}

async function takeOutline(plot) {
  const last = (plot.div.layout.shapes ?? []).at(-1)
  const outline = last ? corners(last).map((corner) => corner.map(short)) : null
  plot.drawing = true // what follows is not done by the user
  try {
    if (outline === null || outline.length > 2) tell(plot, "outline", outline)
    if (plot.pick.greys) await grey(plot, outline, last ? [last] : [])
    else await window.Plotly.relayout(plot.div, { shapes: last ? [last] : [] })
  } finally {
    plot.drawing = false
    if (plot.wanted) draw(plot)
  }
}

function tellView(plot) {
  if (!plot.pick.view) return
  clearTimeout(plot.viewTimer)
  plot.viewTimer = setTimeout(() => {
    const { xaxis, yaxis } = plot.div._fullLayout
    const size = [Math.round(xaxis._length), Math.round(yaxis._length)]
    tell(plot, "view", [...xaxis.range, ...yaxis.range].map(short).concat(size))
  }, 150)
}

function watchPicking(plot) {
  const { div } = plot
  div.on("plotly_relayout", (change) => {
    if (!plot.drawing && Object.keys(change).some((name) => name.startsWith("shapes"))) takeOutline(plot)
  })
  if (plot.figure.layout.scene) {
    div.on("plotly_hover", ({ points, event }) => point(plot, points[0]?.customdata ?? null, event))
    div.on("plotly_unhover", () => point(plot, null))
    div.on("plotly_click", ({ points }) => { if (points[0]?.customdata >= 0) tell(plot, "row", points[0].customdata) })
    return
  }
  let pressed = null, travelled = 0
  div.addEventListener("pointermove", (event) => {
    if (event.buttons) { point(plot, null); return }
    if (!plot.pick.points || plot.looking) return
    plot.looking = requestAnimationFrame(() => {
      plot.looking = null
      if (!plot.gone && plot.div._fullLayout?.xaxis) point(plot, pointed(plot, event), event)
    })
  })
  div.addEventListener("pointerleave", () => point(plot, null))
  div.addEventListener("pointerdown", (event) => { pressed = event; travelled = 0 }, true)
  // Plotly lays a cover over the page while the button is down, so that no click reaches the plot.
  const dragged = (event) => {
    if (pressed) travelled = Math.max(travelled, Math.hypot(event.clientX - pressed.clientX, event.clientY - pressed.clientY))
  }
  const released = (event) => {
    if (!pressed || plot.gone) return
    pressed = null
    if (travelled > 4) return
    const { xaxis, yaxis } = div._fullLayout
    const box = div.getBoundingClientRect()
    const px = event.clientX - box.left - xaxis._offset, py = event.clientY - box.top - yaxis._offset
    if (px < 0 || py < 0 || px > xaxis._length || py > yaxis._length) return
    if (!plot.pick.points) { tell(plot, "place", [xaxis.p2d(px), yaxis.p2d(py)].map(short)); return }
    const row = pointed(plot, event)
    if (row !== null) tell(plot, "row", row)
  }
  document.addEventListener("pointermove", dragged, true)
  document.addEventListener("pointerup", released, true)
  plot.forget = () => {
    document.removeEventListener("pointermove", dragged, true)
    document.removeEventListener("pointerup", released, true)
  }
}

// ---- drawing --------------------------------------------------------------------------------------

const KEPT_OUT = ["select2d", "lasso2d", "autoScale2d"]

function shown(plot) {
  const { meta } = plot.figure.layout
  plot.div.dataset.frames = Number(plot.div.dataset.frames ?? 0) + 1
  if (meta?.step !== undefined) plot.div.dataset.step = meta.step
}

async function draw(plot) {
  plot.wanted = true
  if (plot.drawing) return
  plot.drawing = true
  try {
    const Plotly = await loadPlotly(plot.plotly)
    while (plot.wanted && !plot.gone) {
      plot.wanted = false
      const { layout } = plot.figure
      const data = plot.figure.data.map(selectable)
      // Data stay here: by default one button sends the figure to Plotly's server.
      const config = { displaylogo: false, showSendToCloud: false, plotlyServerURL: "", responsive: true, doubleClick: false,
        plotGlPixelRatio: window.devicePixelRatio, scrollZoom: Boolean(plot.pick),
        modeBarButtonsToRemove: plot.pick ? [...KEPT_OUT, "toImage"] : KEPT_OUT,
        modeBarButtonsToAdd: plot.pick && !layout.scene ? ["drawclosedpath", "drawrect"] : [] }
      const laidOut = keepZoom(plot, themed({ ...layout, height: plot.height }, plot.div))
      await Plotly.react(plot.div, data, laidOut, config)
      plot.div.querySelector(":scope > canvas")?.remove()
      plot.grid = null
      if (!plot.watched) {
        plot.watched = true
        watchZoom(plot)
        if (plot.pick) watchPicking(plot)
        plot.resizer = new ResizeObserver(() => {
          if (plot.gone || !plot.div.offsetParent) return
          if (plot.div.clientWidth !== plot.div._fullLayout.width) Plotly.Plots.resize(plot.div)
        })
        plot.resizer.observe(plot.div)
      }
      plot.drawn = performance.now()
      shown(plot)
    }
  } catch (error) {
    plot.div.textContent = `The picture cannot be drawn (${error.message}); reload the page.`
    plot.div.className = "live-plot-error"
  } finally {
    plot.drawing = false
  }
}

// ---- moving what is drawn ---------------------------------------------------------------------------

const MOVES_FOR = 2000 // milliseconds after which Plotly draws anew: hover and order of the contours lag

// What a figure looks like but for places and order: the same as long as points and contours only move.
// Plotly leaves out traces without points.
function lookOf({ data, layout }) {
  const traces = data.map(({ x, y, text, textfont, hovertext, marker, ...rest }) => {
    const numbers = text?.map((name, i) => [name, marker.color[i], marker.opacity[i]].join()).sort()
    return JSON.stringify([rest, numbers ?? marker, x ? (x.bdata ?? x).length > 0 : null])
  })
  return traces.sort().join() + JSON.stringify({ ...layout, meta: null })
}

function places({ x, y }) {
  const [across, up] = [x, y].map((values) => (values.bdata ? unpacked(values) : values))
  const flat = new Array(2 * across.length)
  for (let i = 0; i < across.length; i++) { flat[2 * i] = across[i]; flat[2 * i + 1] = up[i] }
  return flat
}

// Give what has moved to the graphics card, in a tenth of the time that Plotly takes to draw a figure
// anew. Returns whether that was possible: this reaches into Plotly, whose insides may change.
function move(plot, next) {
  const { div, figure } = plot
  const scene = div._fullLayout?._plots?.xy?._scene
  if (!scene || plot.drawing || plot.pick || performance.now() - plot.drawn > MOVES_FOR) return false
  if (lookOf(figure) !== lookOf(next)) return false
  const fresh = new Map(next.data.map((trace) => [trace.uid, trace]))
  try {
    for (const [{ t, trace: { uid } }] of div.calcdata) {
      if (t?._scene !== scene) continue
      const i = t.index, trace = div.data.find((each) => each.uid === uid)
      let { x, y, text, hovertext } = fresh.get(uid)
      let flat = places({ x, y })
      if (text) {
        const order = trace.text.map((name) => text.indexOf(name))
        flat = order.flatMap((j) => [flat[2 * j], flat[2 * j + 1]])
        x = flat.filter((_, j) => j % 2 === 0)
        y = flat.filter((_, j) => j % 2 === 1)
        Object.assign(trace, { hovertext: order.map((j) => hovertext[j]) })
      }
      Object.assign(trace, { x, y })
      for (const options of [scene.markerOptions[i], scene.lineOptions[i], scene.textOptions[i]]) {
        if (options) options.positions = flat
      }
      if (scene.textOptions[i]) scene.glText[i].update(scene.textOptions[i])
    }
    scene.scatter2d.update(scene.markerOptions)
    scene.line2d.update(scene.lineOptions)
    // Of three canvases this one has the points; without a graphics card each that is touched is read back.
    div._fullLayout._glcanvas.data()[0].regl.clear({ color: [0, 0, 0, 0], depth: 1 })
    scene.draw()
  } catch {
    plot.drawn = -Infinity
    return false
  }
  plot.figure = next
  shown(plot)
  return true
}

// ---- following a run --------------------------------------------------------------------------------

const RETRY = 1000 // milliseconds until an address that did not answer is asked again

// Ask for the next picture until the page says that there is none, resting while nobody looks.
async function follow(plot) {
  if (plot.following) return
  plot.following = true
  while (plot.follow && !plot.gone) {
    const asked = plot.follow, there = plot.figure, began = performance.now()
    const url = new URL(asked, document.baseURI)
    url.searchParams.set("after", there.layout.meta.version)
    let next = null, rest = 1000 * plot.every
    try {
      const answer = document.hidden ? null : await fetch(url)
      if (answer && ![200, 204].includes(answer.status)) rest = Math.max(rest, RETRY)
      if (answer?.status === 200) next = await answer.json()
    } catch {
      rest = Math.max(rest, RETRY) // the server is gone, which the page says
    }
    // What the page has drawn meanwhile is newer.
    if (next && plot.follow === asked && plot.figure === there && !plot.gone) {
      plot.div.setAttribute("aria-label", next.label)
      if (!move(plot, next.figure)) {
        plot.figure = next.figure
        await draw(plot)
      }
    }
    await new Promise((over) => setTimeout(over, Math.max(0, rest - (performance.now() - began))))
  }
  plot.following = false
}

// A large figure that stays the same is not drawn again when the page is put together anew.
function isDrawn(plot, data) {
  if (data.version === undefined) return false
  const style = getComputedStyle(plot.div)
  const look = [data.version, data.height, style.getPropertyValue("--st-text-color"),
    style.getPropertyValue("--st-font")].join()
  const drawn = look === plot.look
  plot.look = look
  return drawn
}

export default function ({ data, parentElement, setTriggerValue }) {
  let plot = plots.get(parentElement)
  if (!plot) {
    const div = document.createElement("div")
    div.className = "live-plot"
    div.setAttribute("role", "img")
    parentElement.appendChild(div)
    plot = { div, zoom: {} }
    plots.set(parentElement, plot)
  }
  // Another run, map or axis: what was zoomed into is not in it.
  if (plot.figure && plot.figure.layout.uirevision !== data.figure.layout.uirevision) plot.zoom = {}
  plot.figure = data.figure
  plot.height = data.height
  plot.pick = data.pick
  plot.plotly = data.plotly
  plot.follow = data.follow
  plot.every = data.every
  plot.setTriggerValue = setTriggerValue
  plot.div.style.height = `${data.height}px`
  plot.div.setAttribute("aria-label", data.label)
  if (!isDrawn(plot, data)) {
    const painted = plot.pick && !plot.watched && sketch(plot)
    painted ? painted.then(() => draw(plot)) : draw(plot)
  }
  if (plot.follow) follow(plot)
  return () => {
    // Streamlit also calls this for an update that a newer one has overtaken: then all stays.
    if (parentElement.isConnected) return
    plot.gone = true
    plot.resizer?.disconnect()
    plot.forget?.()
    window.Plotly?.purge(plot.div)
    plot.div.remove()
    plots.delete(parentElement)
  }
}
