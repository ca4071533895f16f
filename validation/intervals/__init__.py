"""The parts of `validation.interval_proof`: densities on complex balls, the repair of the dual, the proof."""
