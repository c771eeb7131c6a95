// A plane over which a point is dragged; the server answers with what the model decodes there.
const pads = new WeakMap()
const LATE = 3000 // milliseconds after which an answer is given up

const clamp = (value, low, high) => Math.min(high, Math.max(low, value))

function build(parent) {
  const root = document.createElement("div")
  root.className = "pad"
  root.innerHTML = `
    <div class="pad-plane" tabindex="0" role="application">
      <img class="pad-backdrop" alt="" draggable="false"><div class="pad-handle"></div>
    </div>
    <figure class="pad-answer">
      <img class="pad-picture" alt=""><div class="pad-bar"></div>
      <figcaption class="pad-text" aria-live="polite"></figcaption>
    </figure>`
  parent.appendChild(root)
  const find = (name) => root.querySelector(`.pad-${name}`)
  const pad = { root, plane: find("plane"), backdrop: find("backdrop"), handle: find("handle"),
    picture: find("picture"), bar: find("bar"), text: find("text"),
    at: null, asked: 0, waiting: false, pending: null, times: [] }
  pad.plane.onpointerdown = (event) => {
    pad.plane.setPointerCapture(event.pointerId)
    pad.dragging = true
    follow(pad, event)
  }
  pad.plane.onpointermove = (event) => { if (pad.dragging) follow(pad, event) }
  pad.plane.onpointerup = pad.plane.onpointercancel = () => {
    if (!pad.dragging) return
    pad.dragging = false
    ask(pad, true)
  }
  pad.plane.onkeydown = (event) => {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }
    const move = moves[event.key]
    if (!move) return
    event.preventDefault()
    const [left, right, bottom, top] = pad.extent
    const step = event.shiftKey ? 0.1 : 0.02
    pad.at = [clamp(pad.at[0] + move[0] * step * (right - left), left, right),
      clamp(pad.at[1] + move[1] * step * (top - bottom), bottom, top)]
    place(pad)
    ask(pad, true)
  }
  return pad
}

function follow(pad, event) {
  const box = pad.plane.getBoundingClientRect()
  const [left, right, bottom, top] = pad.extent
  const across = clamp((event.clientX - box.left) / box.width, 0, 1)
  const up = clamp(1 - (event.clientY - box.top) / box.height, 0, 1)
  pad.at = [left + across * (right - left), bottom + up * (top - bottom)]
  place(pad)
  ask(pad, false)
}

function place(pad) {
  const [left, right, bottom, top] = pad.extent
  pad.handle.style.left = `${100 * (pad.at[0] - left) / (right - left)}%`
  pad.handle.style.top = `${100 * (1 - (pad.at[1] - bottom) / (top - bottom))}%`
}

// One question at a time: while the answer is awaited, only the last place is remembered.
function ask(pad, settled) {
  if (pad.waiting && performance.now() - pad.sent < LATE) {
    pad.pending = { settled: settled || pad.pending?.settled }
    return
  }
  pad.pending = null
  pad.waiting = true
  pad.sent = performance.now()
  pad.asked = Math.max(pad.asked, pad.answered ?? 0) + 1
  pad.send("at", [pad.at[0], pad.at[1], pad.asked, settled ? 1 : 0, pad.drawing ?? ""])
}

async function answer(pad, data) {
  if (pad.picture.getAttribute("src") !== data.picture) {
    pad.picture.src = data.picture
    try { await pad.picture.decode() } catch { return }
  }
  pad.picture.alt = data.text
  pad.text.textContent = data.text
  pad.bar.replaceChildren(...data.probabilities.map(([share, colour]) => {
    const part = document.createElement("div")
    part.style.flexGrow = share
    part.style.background = colour
    return part
  }))
  pad.answered = data.reply
  if (pad.waiting && data.reply === pad.asked) {
    pad.waiting = false
    pad.times.push(performance.now() - pad.sent)
    pad.root.dataset.times = pad.times.slice(-200).map((each) => each.toFixed(1)).join(" ")
    if (pad.pending) ask(pad, pad.pending.settled)
  }
  pad.root.dataset.answers = pad.times.length
}

export default function ({ data, parentElement, setStateValue }) {
  let pad = pads.get(parentElement)
  if (!pad) {
    pad = build(parentElement)
    pads.set(parentElement, pad)
  }
  pad.send = setStateValue
  pad.plane.setAttribute("aria-label", data.label)
  if (data.backdrop) {
    pad.drawing = data.drawing
    if (pad.backdrop.getAttribute("src") !== data.backdrop) pad.backdrop.src = data.backdrop
  }
  const moved = String(pad.extent) !== String(data.extent)
  pad.extent = data.extent
  if (!pad.at || moved || (!pad.dragging && !pad.waiting)) {
    pad.at = data.at
    place(pad)
  }
  answer(pad, data)
  if (pad.drawing !== data.drawing) { // it was sent to a pad that is no longer there
    pad.drawing = undefined
    ask(pad, true)
  }
  return () => {
    // Streamlit also calls this for an update that a newer one has overtaken: then all stays.
    if (parentElement.isConnected) return
    pad.root.remove()
    pads.delete(parentElement)
  }
}
