import "/dashboard/panels.js";
