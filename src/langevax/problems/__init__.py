"""Problems: what is optimised or sampled, as a mean over components plus a quadratic, with its gradients."""
