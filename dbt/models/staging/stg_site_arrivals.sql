with

source as (

    -- No FINAL: this view is asked what came since some time, which the index on inserted_at answers from a few granules.
    -- FINAL would have to read every older part to tell whether a row is a copy. A copy names its day once more, no harm.
    select * from {{ source('warehouse', 'events') }}

),

renamed as (

    select
        event_id,
        user_id,
        name,
        obj,
        obj_id,
        amount,
        toDate(dt) as date,
        dt,
        exp,
        received_at,
        inserted_at

    from source

)

select * from renamed
