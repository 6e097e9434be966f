"""What a notebook shows: tables, pictures, forms. The only folder with pandas' and Jupyter's looks.

It decides nothing: what it shows was computed below.
`tables` shows rows and has the base of all forms.
"""
