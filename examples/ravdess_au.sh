#!/usr/bin/env bash
# Sound and action units of RAVDESS: TACFN beside what it is compared with, two protocols, 5 folds of 4 actors, 3 seeds.
#   bash examples/ravdess_au.sh FOLDER [OUTPUT]
# FOLDER holds the official sound files and openface_au_mean.csv. Interrupted, the same command goes on where it stopped.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="${BIN:+$BIN:}$PATH"
folder=${1:?give the folder with the RAVDESS sound files and openface_au_mean.csv}
tacfn compare --config configs/ravdess_au.yaml --protocols plain speaker-normalised \
    --output_dir "${2:-runs/ravdess_au}" -- --data_dir "$folder"
