"""Tests of the form for a new run: presets, an estimate, a missing data set, images while they train."""

import os
import re

import pytest
from playwright.sync_api import expect

from mixviz.models import preset
from mixviz.runs import Status
from tests.browser.driver import Server, await_plot, button, choose, until


def number(page, label):
    """Find a number box by its label."""
    return (
        page.get_by_role("spinbutton", name=label).or_(page.get_by_label(label, exact=True)).first
    )


def estimated(page):
    """Wait for the estimate and return it."""
    text = page.get_by_text(re.compile(r"About .+ an epoch, .+ in all\."))
    text.wait_for()
    return text.inner_text()


def test_preset_sets_its_values_and_starts(server, open_page):
    page = open_page(f"{server.url}/train")
    choose(page, "Model", "GMVAE v1")
    choose(page, "Preset", "v1 figure 2c")
    until(page, lambda: number(page, "Consistency weight α").input_value() == "0")
    expect(number(page, "z-prior weight η")).to_have_value("1")
    print(estimated(page))
    button(page, "Start training").click()
    page.wait_for_url(re.compile("run="))
    run = page.url.partition("run=")[2].partition("&")[0]
    until(page, lambda: server.store.get(run).status is Status.RUNNING, "running")
    await_plot(page)
    found = server.store.get(run).config
    assert (found["model"], found["dataset"]) == ("gmvae-v1", "arcs")
    assert (found["settings"]["eta"], found["settings"]["alpha"]) == (1, 0)
    assert found["settings"]["components"] == 8


def test_missing_data_set_shows_the_reason_and_the_command(tmp_path, open_page):
    (tmp_path / "empty").mkdir()
    server = Server(tmp_path / "home", MIXVIZ_DATA=str(tmp_path / "empty"))
    server.start()
    try:
        page = open_page(f"{server.url}/train")
        choose(page, "Data set", "MNIST (not here)")
        warning = page.get_by_test_id("stAlert").filter(has_text="MNIST is not in")
        warning.wait_for()
        text = warning.inner_text()
        assert str(tmp_path / "empty") in text
        assert "mixviz download mnist" in text
        expect(button(page, "Start training")).to_be_disabled()
        button(page, "Download now").wait_for()
        choose(page, "Data set", "Arcs")
        until(page, lambda: button(page, "Start training").is_enabled())
    finally:
        server.kill()


def images(page):
    """Widths of the pictures that the page shows."""
    return page.locator("[data-testid=stHtml] img").evaluate_all(
        "all => all.filter(i => i.complete).map(i => i.naturalWidth)"
    )


def watch_images(page, server, name, epochs):
    """Start a preset for some epochs, and return its run once its pictures are there."""
    chosen = preset(name)[1]
    choose(page, "Preset", chosen.title)
    box = number(page, "Epochs")
    # Fields are replaced one after the other when a preset is chosen; what is typed before is lost.
    expect(box).to_have_value(str(chosen.settings["epochs"]))
    expect(number(page, "Components (K)")).to_have_value(str(chosen.settings["components"]))
    box.fill(str(epochs))
    box.press("Enter")
    expect(box).to_have_value(str(epochs))
    estimated(page)
    button(page, "Start training").click()
    page.wait_for_url(re.compile("run="))
    run = page.url.partition("run=")[2].partition("&")[0]
    await_plot(page)
    page.get_by_text("Samples of each component").wait_for()
    page.get_by_text("Reconstructions", exact=True).wait_for()
    until(page, lambda: [width > 100 for width in images(page)] == [True] * 2, "images")
    return run


def test_images_show_samples_and_reconstructions(server, open_page):
    page = open_page(f"{server.url}/train")
    run = watch_images(page, server, "v2-digits", epochs=4)
    assert server.store.get(run).config["run"]["epochs"] == 4
    until(page, lambda: server.store.get(run).status is Status.FINISHED, "finished")
    page.get_by_text("finished").first.wait_for()
    await_plot(page, "accuracy")


@pytest.mark.skipif(not os.environ.get("MIXVIZ_DATA"), reason="needs MNIST: set MIXVIZ_DATA")
def test_mnist_trains(server, open_page):
    page = open_page(f"{server.url}/train")
    run = watch_images(page, server, "v2-mnist-laptop", epochs=1)
    assert server.store.get(run).dataset == "mnist"
