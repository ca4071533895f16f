"""The discretised source: nodes and masses against which every integral over μ is computed."""
