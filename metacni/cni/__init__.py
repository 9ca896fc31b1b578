# SPDX-License-Identifier: Apache-2.0
"""The CNI vocabulary: values, their texts and the rules between them. Pure, standard library only."""
