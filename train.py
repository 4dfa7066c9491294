# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""
Train and evaluate a network of this package on a corpus, speaker-independently.

    accelerate launch train.py --config configs/synthetic.yaml

`python train.py --help` lists the options; `modeling_tacfn/experiment.py` holds what they do.
"""

from modeling_tacfn.experiment import main


if __name__ == "__main__":
    main()
