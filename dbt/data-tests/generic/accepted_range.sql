{# The column is at least `min_value`: a number, a column or any expression. #}
{% test accepted_range(model, column_name, min_value) %}
    select {{ column_name }} from {{ model }} where not ({{ column_name }} >= {{ min_value }})
{% endtest %}
