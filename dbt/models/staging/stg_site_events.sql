with

source as (

    -- FINAL: a copy of an event that came twice is left out, merged or not. It costs little here: copies can only be in
    -- one month, the sorting key starts with dt, and whoever reads a few days makes ClickHouse merge those days only.
    select * from {{ source('warehouse', 'events') }} {{ final() }}

),

renamed as (

    select
        -- ids
        event_id,
        user_id,
        product_id,
        obj_id,

        -- words
        name,
        obj,
        url,

        -- numbers
        amount,

        -- experiments
        exp,

        -- times
        toDate(dt) as date,
        dt,
        received_at,
        inserted_at

    from source

)

select * from renamed
