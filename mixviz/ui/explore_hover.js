// Shows the observation that is pointed at on a map: its image, cut from a sheet, and a line about it.
// Sheets are asked for when first needed, and kept as long as the page lives.
const viewers = new WeakMap()
const ZOOM = 96 // pixels along the longer side of the image shown

function place(viewer, x, y) {
  const { card } = viewer
  const { width, height } = card.getBoundingClientRect()
  const right = x + 18 + width < window.innerWidth
  const below = y + 18 + height < window.innerHeight
  card.style.left = `${Math.max(4, right ? x + 18 : x - 12 - width)}px`
  card.style.top = `${Math.max(4, below ? y + 18 : y - 12 - height)}px`
}

function show(viewer) {
  const { wanted, card, sheets, about } = viewer
  if (!wanted || wanted.row === null) { card.style.display = "none"; return }
  const number = Math.floor(wanted.row / about.size), at = wanted.row % about.size
  const sheet = sheets.get(number)
  if (!sheet) {
    card.style.display = "none"
    if (viewer.asked !== number) {
      viewer.asked = number
      viewer.setTriggerValue("sheet", number)
    }
    return
  }
  const image = card.firstChild
  image.style.display = sheet.url ? "block" : "none"
  if (sheet.url) {
    const scale = ZOOM / Math.max(sheet.width, sheet.height)
    const column = at % about.columns, line = Math.floor(at / about.columns)
    image.style.width = `${sheet.width * scale}px`
    image.style.height = `${sheet.height * scale}px`
    image.style.backgroundImage = `url(${sheet.url})`
    image.style.backgroundSize = `${about.columns * sheet.width * scale}px auto`
    image.style.backgroundPosition = `-${column * sheet.width * scale}px -${line * sheet.height * scale}px`
  }
  card.lastChild.textContent = sheet.captions[at] ?? ""
  card.style.display = "block"
  card.dataset.row = wanted.row
  place(viewer, wanted.x, wanted.y)
}

export default function ({ data, parentElement, setTriggerValue }) {
  let viewer = viewers.get(parentElement)
  if (!viewer) {
    const card = document.createElement("div")
    card.className = "explore-hover"
    card.setAttribute("aria-hidden", "true")
    card.appendChild(document.createElement("div")).className = "explore-hover-image"
    card.appendChild(document.createElement("div"))
    parentElement.appendChild(card)
    viewer = { card, sheets: new Map() }
    viewer.listen = (event) => { viewer.wanted = event.detail; show(viewer) }
    document.addEventListener("mixviz-point", viewer.listen)
    viewers.set(parentElement, viewer)
  }
  viewer.setTriggerValue = setTriggerValue
  if (viewer.about?.key !== data.about.key) viewer.sheets.clear()
  viewer.about = data.about
  viewer.asked = null
  if (data.sheet) {
    const { number, picture, kind, width, height, captions } = data.sheet
    const url = picture && `data:image/${kind};base64,${picture}`
    viewer.sheets.set(number, { url, width, height, captions })
  }
  if (viewer.wanted) show(viewer)
  return () => {
    // Streamlit also calls this for an update that a newer one has overtaken: then all stays.
    if (parentElement.isConnected) return
    document.removeEventListener("mixviz-point", viewer.listen)
    viewer.card.remove()
    viewers.delete(parentElement)
  }
}
