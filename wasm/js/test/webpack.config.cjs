module.exports = { mode: "production", entry: "./page.js", output: { path: `${__dirname}/dist-webpack`, publicPath: "" } };
