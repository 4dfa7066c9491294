# Copyright 2026 The modeling_tacfn authors. All rights reserved.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
"""Make `import torchaudio` work beside a CPU build of torch.

The Linux wheels of torchaudio are CUDA builds. With a CPU torch their two shared libraries cannot be loaded, so
`import torchaudio` raises, and with it everything in transformers that touches sound, because transformers imports
torchaudio wherever it is *installed*: `AutoProcessor`, `ProcessorMixin`, `Trainer`, `pipeline`. There are two cures.

In the process (`make_importable`, which `import modeling_tacfn` does): an import hook loads torchaudio's extension as
ever, and only if that fails, and torch has no GPU build, lets torchaudio go on without it. Transforms, resampling and
filter banks need no extension; `rnnt_loss` and `forced_align` do, and say so when called. Nothing is imported and no
file is touched. It works before or after `import transformers`, also after an import that has already failed.

On disk (`python -m modeling_tacfn.torchaudio_cpu`, undone by `--restore`): renames the libraries that cannot load, so
that torchaudio finds none. Only this helps a process in which transformers meets torchaudio before any code of this
package has run: `from transformers import AutoProcessor` followed by `trust_remote_code=True`. There,
`pip uninstall torchaudio` does as well.
"""

import argparse
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from pathlib import Path


_EXTENSION = "torchaudio._extension"
_DISABLED_SUFFIX = ".disabled"


class _TolerantLoader(importlib.abc.Loader):
    def __init__(self, loader):
        self.loader = loader

    def create_module(self, spec):
        return self.loader.create_module(spec)

    def exec_module(self, module):
        try:
            self.loader.exec_module(module)
        except (OSError, ImportError):
            if _torch_has_gpu_build():
                raise
            module._IS_TORCHAUDIO_EXT_AVAILABLE = False
            module._IS_ALIGN_AVAILABLE = False
            module._check_cuda_version = lambda: None
            module.fail_if_no_align = _needs_extension


class _ExtensionFinder(importlib.abc.MetaPathFinder):
    def find_spec(self, fullname, path=None, target=None):
        if fullname != _EXTENSION:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)
        if spec is not None and spec.loader is not None:
            spec.loader = _TolerantLoader(spec.loader)
        return spec


def _needs_extension(function):
    def unavailable(*args, **kwargs):
        raise RuntimeError(
            f"{function.__name__} needs the compiled extension of torchaudio, and the installed one is a CUDA build that "
            "cannot be loaded beside this CPU build of torch. Install a CUDA build of torch to use it."
        )

    return unavailable


def _torch_has_gpu_build() -> bool:
    import torch

    return torch.version.cuda is not None or torch.version.hip is not None


def make_importable() -> None:
    """Let torchaudio be imported although its CUDA extension cannot be loaded by a CPU build of torch.

    Idempotent and free of cost: neither torch nor torchaudio is imported here. Without torchaudio, or with an extension
    that loads, or beside a GPU build of torch, nothing changes.
    """
    # By name: a copy of this file shipped with a checkpoint is another module with another class object.
    if not any(type(finder).__name__ == _ExtensionFinder.__name__ for finder in sys.meta_path):
        sys.meta_path.insert(0, _ExtensionFinder())


def disable_libraries(folder: Path | None = None, restore: bool = False) -> list[Path]:
    """Rename torchaudio's shared libraries so that torchaudio finds none, or give them their names back.

    Args:
        folder (`Path`, *optional*): `torchaudio/lib`; the installed one if not given.
        restore (`bool`, *optional*, defaults to `False`): undo an earlier call.

    Returns:
        `list[Path]`: the new names; empty where there was nothing to do.

    Raises:
        RuntimeError: torch has a GPU build, for which the libraries were made.
    """
    if folder is None:
        spec = importlib.util.find_spec("torchaudio")
        if spec is None or spec.origin is None:
            return []
        folder = Path(spec.origin).parent / "lib"
    if restore:
        return [path.rename(path.with_suffix("")) for path in sorted(folder.glob(f"*{_DISABLED_SUFFIX}"))]
    if _torch_has_gpu_build():
        raise RuntimeError(
            "expected a CPU build of torch, found a GPU build: torchaudio's libraries are left alone. If torchaudio still "
            "does not import, install the torchaudio release made for this torch."
        )
    if _libraries_load(folder):
        return []
    return [path.rename(path.with_name(path.name + _DISABLED_SUFFIX)) for path in sorted(folder.glob("*.so"))]


def _libraries_load(folder: Path) -> bool:
    import torch

    try:
        # The order torchaudio loads them in: the first of the two needs no symbol of the second.
        for pattern in ("_torchaudio*.so", "libtorchaudio*.so"):
            for path in folder.glob(pattern):
                torch.ops.load_library(path)
    except OSError:
        return False
    return True


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m modeling_tacfn.torchaudio_cpu",
        description="Disable the CUDA libraries of torchaudio where torch is a CPU build.",
    )
    parser.add_argument("--restore", action="store_true", help="give the libraries their names back")
    options = parser.parse_args(arguments)
    try:
        renamed = disable_libraries(restore=options.restore)
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    print("\n".join(str(path) for path in renamed) or "nothing to do")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
