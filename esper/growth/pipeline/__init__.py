"""From a blueprint to a kernel that is ready: built, validated, remembered, prepared ahead."""
