"""Augmentation of whole batches of images on the device."""
