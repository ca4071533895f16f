"""The parts of `validation.fuzz`: hostile values, files and command lines, and probes of every public function."""
