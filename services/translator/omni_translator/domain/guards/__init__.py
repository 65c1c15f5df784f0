"""The product's guards over content: personal data and secrets, and attempts to turn a model against its operator.

They work on the canonical model, as the rules do, so that they know no format. What they find they count by kind; no
text of a request or an answer is ever told, logged or kept by them.
"""
