"""The equations of diffusion: schedules, time grids, predictions, solvers and the sampling loop."""
