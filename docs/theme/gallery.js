// Gallery of the zoo: cards of the models in `zoo`, which the page defines, with search, filters, and order.
"use strict";

const form = document.getElementById("zoo-filters");
const cards = document.getElementById("zoo-cards");
const count = document.getElementById("zoo-count");

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function resultLine([value, metric, where]) {
  const line = element("div", "result");
  line.append(element("b", "", value), ` ${metric} · ${where}`);
  return line;
}

function card(model) {
  const link = element("a", "zoo-card");
  link.href = `zoo/${model.name}.html`;
  link.append(element("span", "name", model.name), element("span", "title", model.title));
  link.append(element("span", "facts", `${model.architecture} · ${model.params.toLocaleString("en-US")} parameters`));
  link.append(...model.measured.map(resultLine));
  if (!model.measured.length && model.published) {
    link.append(element("div", "result", `published: ${model.published}`));
  }
  const tags = element("span", "tags");
  tags.append(element("span", "", model.task), ...model.cells.map((cell) => element("span", "", cell)));
  if (model.trained) tags.append(element("span", "trained", "trained weights"));
  link.append(tags);
  return link;
}

function sizeOf(model) {
  return zoo.sizes.filter(([least]) => model.params >= least).at(-1)[1];
}

function textOf(model) {
  return [model.name, model.title, model.task, model.architecture, model.paper, model.data, model.published,
    ...model.cells, ...model.measured.flat()].join(" ").toLowerCase();
}

function isShown(model, wanted) {
  return wanted.query.split(/\s+/).every((word) => textOf(model).includes(word))
    && (!wanted.task || model.task === wanted.task)
    && (!wanted.cell || model.cells.includes(wanted.cell))
    && (!wanted.size || sizeOf(model) === wanted.size)
    && (!wanted.trained || model.trained)
    && (!wanted.measured || model.measured.length > 0);
}

function show() {
  const fields = form.elements;
  const wanted = {
    query: fields.query.value.trim().toLowerCase(),
    task: fields.task.value,
    cell: fields.cell.value,
    size: fields.size.value,
    trained: fields.trained.checked,
    measured: fields.measured.checked,
  };
  const shown = zoo.models.filter((model) => isShown(model, wanted));
  if (fields.order.value === "params") shown.sort((one, other) => one.params - other.params);
  cards.replaceChildren(...shown.map(card));
  count.textContent = `${shown.length} of ${zoo.models.length} models`;
}

function addOptions(select, values) {
  select.append(...values.map((value) => element("option", "", value)));
}

addOptions(form.elements.task, [...new Set(zoo.models.map((model) => model.task))].sort());
addOptions(form.elements.cell, [...new Set(zoo.models.flatMap((model) => model.cells))].sort());
addOptions(form.elements.size, zoo.sizes.map(([, label]) => label));
form.addEventListener("input", show);
form.addEventListener("submit", (event) => event.preventDefault());
show();
