with

pages as (

    select
        date,
        page,
        views,
        users
    from {{ ref('page_days') }} {{ final() }}

)

select * from pages
