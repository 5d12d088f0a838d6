"""ColaRec: content-based collaborative generation (Wang et al., CIKM 2024, arXiv:2403.18480) as a plugin."""
