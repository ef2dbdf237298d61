"""Images: found in files, split into train and minival, decoded once, and copied to the device."""
