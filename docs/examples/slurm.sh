#!/bin/bash
# Search with eight workers on a cluster without a database: the journal is a file in the shared home directory.
# Slurm sends SIGTERM before a time limit or a preemption; the worker then returns its trial to the queue. If a node
# fails, declare its worker dead when no other worker is running:
#   deeprnn tune-worker --storage "$STORAGE" --study depth --checkpoints "$RUN" --retry-stale
#SBATCH --job-name=depth-search
#SBATCH --array=0-7
#SBATCH --cpus-per-task=4
#SBATCH --mem=8G
#SBATCH --time=12:00:00
#SBATCH --requeue
set -eu

RUN="$HOME/searches/depth"
STORAGE="$HOME/searches/depth.journal"
mkdir -p "$HOME/searches"

if [ "$SLURM_ARRAY_TASK_ID" = 0 ]; then
  if [ -e "$RUN/tune.json" ]; then
    exec deeprnn tune kjv_lstm_2x256 --resume --output "$RUN" --storage "$STORAGE"
  fi
  exec deeprnn tune kjv_lstm_2x256 --params 500k --trials 48 --updates 2000 --output "$RUN" \
    --storage "$STORAGE" --study depth
fi
exec deeprnn tune-worker --storage "$STORAGE" --study depth --wait 600 --checkpoints "$RUN"
