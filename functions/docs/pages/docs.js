// Starts Swagger UI. The badge of its online validator stays off: it would send this page's address to another host.
window.ui = window.SwaggerUIBundle({
  url: '/openapi.json',
  dom_id: '#docs',
  deepLinking: true,
  displayRequestDuration: true,
  requestSnippetsEnabled: true,
  showExtensions: false,
  validatorUrl: null,
})
