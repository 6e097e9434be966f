"""One table becomes a site: who is there, who talks to whom, in which order encryption is switched.

It knows no certificate and no computer's state. All facts of the product are tables in `data/`.
`site` has the nouns, `table` reads them from `columns` of a `grid`, `order` puts the steps in their
order, `asking` knows what a person is asked.
"""
