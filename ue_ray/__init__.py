"""ue_ray: distributed data protection with error-minimizing noise, on Ray."""

__version__ = "0.1.0"
