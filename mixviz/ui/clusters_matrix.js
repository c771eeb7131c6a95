// The cluster matrix as a table: every cell is a button, arrows move between them.
const tables = new WeakMap()

function element(tag, className, text) {
  const made = document.createElement(tag)
  if (className) made.className = className
  if (text !== undefined) made.textContent = text
  return made
}

function cellButton(table, id, label, text) {
  const button = element("button", "cm-cell", text)
  button.type = "button"
  button.dataset.cell = id
  button.setAttribute("aria-label", label)
  button.setAttribute("aria-pressed", String(id === table.selected))
  button.tabIndex = -1
  button.onclick = () => { table.focused = id; table.send("cell", id) }
  return button
}

function draw(table, data) {
  const { matrix, corner } = data
  const grid = element("table", "cm-table")
  grid.setAttribute("aria-label", data.label)
  const head = element("tr")
  head.appendChild(element("th", "cm-corner", corner))
  for (const column of matrix.columns) {
    const header = element("th")
    header.scope = "col"
    header.appendChild(cellButton(table, `-${column.id}`, `All of class ${column.name}`, column.name))
    head.appendChild(header)
  }
  head.appendChild(element("th", "cm-total", "all"))
  const thead = element("thead")
  thead.appendChild(head)
  const tbody = element("tbody")
  for (const row of matrix.rows) {
    const line = element("tr")
    const header = element("th")
    header.scope = "row"
    const name = cellButton(table, `${row.id}-`, `All of component ${row.name}`, row.name)
    const bar = element("span", "cm-bar")
    bar.style.background = row.colour
    name.prepend(bar)
    header.appendChild(name)
    line.appendChild(header)
    row.cells.forEach(([text, shade], place) => {
      const column = matrix.columns[place]
      const cell = element("td")
      const label = `Component ${row.name}, class ${column.name}: ${text || 0}`
      const button = cellButton(table, `${row.id}-${column.id}`, label, text)
      button.style.background = `rgba(47,141,245,${shade})`
      if (shade > 0.55) button.style.color = "#ffffff"
      cell.appendChild(button)
      line.appendChild(cell)
    })
    line.appendChild(element("td", "cm-total", row.total))
    tbody.appendChild(line)
  }
  grid.append(thead, tbody)
  table.root.replaceChildren(grid)
  table.buttons = [...grid.rows].map((line) => [...line.querySelectorAll("button")])
  table.buttons[0].unshift(null) // the corner
  const wanted = grid.querySelector(`[data-cell="${table.focused ?? data.selected}"]`)
  const first = wanted ?? table.buttons[1]?.[0]
  if (first) first.tabIndex = 0
  if (wanted && table.hadFocus) wanted.focus({ preventScroll: true })
}

function move(table, event) {
  const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }
  const step = steps[event.key]
  if (!step) return
  const row = table.buttons.findIndex((line) => line.includes(event.target))
  if (row < 0) return
  const next = table.buttons[row + step[0]]?.[table.buttons[row].indexOf(event.target) + step[1]]
  event.preventDefault()
  if (!next) return
  event.target.tabIndex = -1
  next.tabIndex = 0
  next.focus()
}

export default function ({ data, parentElement, setTriggerValue }) {
  let table = tables.get(parentElement)
  if (!table) {
    const root = element("div", "cm")
    parentElement.appendChild(root)
    table = { root }
    root.onkeydown = (event) => move(table, event)
    tables.set(parentElement, table)
  }
  table.send = setTriggerValue
  const said = JSON.stringify(data)
  if (said !== table.said) {
    table.said = said
    table.selected = data.selected
    table.hadFocus = table.root.contains(table.root.getRootNode().activeElement)
    draw(table, data)
  }
  return () => {
    // Streamlit also calls this for an update that a newer one has overtaken: then all stays.
    if (parentElement.isConnected) return
    table.root.remove()
    tables.delete(parentElement)
  }
}
