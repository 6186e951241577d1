"""Copies of images and files: in a folder that can be carried, and in a registry that has or gets them."""
