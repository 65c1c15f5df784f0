"""What several tests share: real servers on free ports."""
