"""What a trained network costs: operations, memory traffic, and joules under a cost model."""
