module noren.test/site

go 1.26.0
