"""What methods are measured on, and how: data sets, backbones, protocol, plan and runner."""
