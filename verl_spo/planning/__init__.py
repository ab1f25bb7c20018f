"""What a recipe needs, before anything is rented: memory per GPU and time per step, estimated.

`settings` reads the recipe, `building` makes the real model without its weights, in a process of its own, `memory`,
`rollout` and `timing` reckon, `advice` says which knob to turn where something cannot fit, `plan` puts it together.
"""
