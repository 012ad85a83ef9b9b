"""Forward passes of CLIP's towers that are quick where gradients reach few parameters."""
