"""The browser as a device: a page that a small server of ours serves pulls models, times them and posts the samples."""
