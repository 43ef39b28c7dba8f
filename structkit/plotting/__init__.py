"""Pictures of models: bands, slices of a grid, tensors, solutions of equations, kernels, calibration, learning.

Every function draws into the axes it is given, or into a new figure, and returns the axes. matplotlib is loaded by the
first call.
"""

from structkit.plotting.curves import plot_band, plot_calibration, plot_correlation, plot_history, plot_kernel
from structkit.plotting.dictionary import plot_atoms, plot_code_sparsity, plot_recovery
from structkit.plotting.grids import plot_grid_posterior, plot_posterior_line
from structkit.plotting.pde import plot_carriers, plot_field, plot_solution
from structkit.plotting.sparse import plot_channel, plot_error_curves, plot_evidence_trace, plot_prior_variances
from structkit.plotting.tensors import plot_core, plot_factors, plot_predicted, plot_surface

__all__ = [
    "plot_atoms",
    "plot_band",
    "plot_calibration",
    "plot_carriers",
    "plot_channel",
    "plot_code_sparsity",
    "plot_core",
    "plot_correlation",
    "plot_error_curves",
    "plot_evidence_trace",
    "plot_factors",
    "plot_field",
    "plot_grid_posterior",
    "plot_history",
    "plot_kernel",
    "plot_posterior_line",
    "plot_predicted",
    "plot_prior_variances",
    "plot_recovery",
    "plot_solution",
    "plot_surface",
]
