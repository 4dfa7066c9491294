"""Pictures: they are drawn, of what was given, without a display and without global state."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from modeling_tacfn import plots
from modeling_tacfn.plots import plot_confusion, plot_learning_curve


HISTORY = [
    {
        "epoch": epoch,
        "train_loss": 2 / epoch,
        "validation_loss": 2.5 / epoch,
        "validation_uar": 1 - 1 / epoch,
        "best": epoch == 4,
        "seconds": 3.0,
    }
    for epoch in range(1, 6)
]


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were saved."""
    figures = []
    save = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *args, **options: (figures.append(self), save(self, *args, **options))
    )
    return figures


def texts(figure):
    return {text.get_text() for axes in figure.axes for text in axes.texts}


def test_learning_curve(tmp_path, drawn):
    plot_learning_curve(HISTORY, tmp_path / "curve.png", title="TACFN")
    with Image.open(tmp_path / "curve.png") as image:
        assert min(image.size) > 400
        assert len(np.unique(np.asarray(image.convert("RGB")).reshape(-1, 3), axis=0)) > 50
    left, right = drawn[0].axes
    assert [line.get_label() for line in left.lines] == ["train loss", "validation loss", "kept: epoch 4"]
    assert [line.get_label() for line in right.lines] == ["validation UAR", "kept: epoch 4"]
    assert right.lines[0].get_ydata().tolist() == pytest.approx([0, 1 / 2, 2 / 3, 3 / 4, 4 / 5])


def test_learning_curve_with_gaps(tmp_path, drawn):
    history = [
        {"epoch": 1, "train_loss": 1.0, "validation_uar": 0.2},
        {"epoch": 2, "train_loss": float("nan")},
        {"epoch": 3, "validation_uar": None},
    ]
    plot_learning_curve(history, tmp_path / "curve.png")
    assert drawn[0].axes[0].lines[0].get_xdata().tolist() == [1]


def test_learning_curve_of_one_kind_has_one_panel(tmp_path, drawn):
    plot_learning_curve([{"train_loss": 1.0}], tmp_path / "curve.png")
    assert len(drawn[0].axes) == 1


@pytest.mark.parametrize("history", [[], [{"epoch": 1}], [{"epoch": 1, "best": True, "note": "x"}]])
def test_nothing_to_draw(tmp_path, history):
    with pytest.raises(ValueError, match="received none"):
        plot_learning_curve(history, tmp_path / "curve.png")
    assert not list(tmp_path.iterdir())


def test_confusion(tmp_path, drawn):
    plot_confusion([[3, 1, 0], [0, 5, 0], [0, 0, 0]], ["calm", "sad", "angry"], tmp_path / "confusion.png")
    assert texts(drawn[0]) == {"75 %\n3", "25 %\n1", "100 %\n5"}
    axes = drawn[0].axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["calm (4)", "sad (5)", "angry (0)"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["calm", "sad", "angry"]
    assert np.isfinite(axes.images[0].get_array()).all()


def test_confusion_must_fit_its_labels(tmp_path):
    with pytest.raises(ValueError, match=r"shape \(3, 3\) for 3 labels, received \(2, 2\)"):
        plot_confusion([[1, 0], [0, 1]], ["a", "b", "c"], tmp_path / "confusion.png")


def test_a_failed_picture_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "confusion.png"
    plot_confusion([[1]], ["a"], path)
    before = path.read_bytes()

    def full(self, target, **options):
        Path(target).write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(Figure, "savefig", full)
    with pytest.raises(OSError, match="No space left"):
        plot_confusion([[2]], ["a"], path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["confusion.png"]


@pytest.mark.slow
def test_no_global_state():
    # pyplot keeps every figure alive and may ask for a display.
    code = "import sys, modeling_tacfn.plots; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(plots.__file__).parents[1]).returncode == 0
