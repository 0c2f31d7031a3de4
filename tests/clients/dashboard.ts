// What Grafana takes as this project's dashboard: its own types of the version that is run, made strict. A member that they do not
// have is an error.

import type * as grafana from '@grafana/schema';
import type * as stat from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type * as timeseries from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';

// JSON has an enum's values, and not the enum.
type Json<T> = T extends string
  ? `${T}`
  : T extends number
    ? `${T}` extends `${infer N extends number}`
      ? N
      : number
    : T extends object
      ? { [K in keyof T]: Json<T[K]> }
      : T;

// A query of the Prometheus data source, whose types are not in @grafana/schema.
interface Query {
  refId: string;
  datasource: { type: 'prometheus'; uid: string };
  editorMode: 'code';
  expr: string;
  legendFormat: string;
  range: true;
}

type Defaults<Custom> = Omit<grafana.FieldConfig, 'custom'> & { custom?: Custom };

interface PanelOf<Type, Options, Custom> extends Omit<grafana.Panel, 'type' | 'options' | 'fieldConfig' | 'targets'> {
  type: Type;
  options: Options;
  fieldConfig: Omit<grafana.FieldConfigSource, 'defaults'> & { defaults: Defaults<Custom> };
  targets: Query[];
}

type Panel =
  | PanelOf<'timeseries', timeseries.Options, timeseries.FieldConfig>
  | PanelOf<'stat', stat.Options, never>
  | (Omit<grafana.RowPanel, 'type' | 'panels'> & { type: 'row'; panels: [] });

export type Dashboard = Json<Omit<grafana.Dashboard, 'panels'> & { panels: Panel[] }>;
