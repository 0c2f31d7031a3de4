// Starts ReDoc, in the system's fonts: its own would come from another host.
const fontFamily = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'
window.Redoc.init(
  '/openapi.json',
  {
    expandResponses: '200',
    hideSchemaPattern: true,
    requiredPropsFirst: true,
    theme: {
      spacing: { sectionVertical: 20 },
      colors: { primary: { main: '#0a6b7d' } },
      typography: { fontFamily, headings: { fontFamily } },
    },
  },
  document.getElementById('redoc'),
)
